using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Explanation;
using LlavaSp.Generation;
using LlavaSp.Imaging;
using LlavaSp.Quantization;

namespace LlavaSp.Tests.Explanation;

/// <summary>Explanations of answers of the golden checkpoints.</summary>
public sealed class ModelExplainerTests
{
    private const string Question = "A chat. USER: <image>\nWhat is it? ASSISTANT:";

    [Theory]
    [InlineData("cropping-f32", "reference")]
    [InlineData("cropping-f32", "cpu")]
    [InlineData("pooling-f32", "cpu")]
    [InlineData("cropping-gqa-f16-anyres", "reference")]
    public void AttentionIsWhatQueriesAndKeysGive(string checkpoint, string device)
    {
        using LlavaSpModel model = Load(checkpoint, device);
        GenerationRequest request = Request(model, 5);
        AnswerExplanation explanation = ModelExplainer.Run(model, request);
        int answer = explanation.Answer.Ids.Count;
        Assert.Equal(5, answer);

        // The same sequence, traced as the trace command does, and attention from its first definition, in double.
        var trace = new Traced();
        using LlavaSpSession session = model.CreateSession();
        PromptSequence whole = PromptSequence.Create(
            [.. request.PromptIds, .. explanation.Answer.Ids.SkipLast(1)], request.Images, model.Encoder.LengthOf, model.Checkpoint.Decoder.VocabularySize);
        session.Runner.Prefill(whole, new StageTimes(), trace);
        DecoderConfig decoder = model.Checkpoint.Decoder;
        Assert.Equal((decoder.Layers, answer, whole.Length), (explanation.Attention.Layers, explanation.Attention.Rows, explanation.Attention.Positions));
        foreach (int layer in (int[])[0, decoder.Layers - 1])
        {
            for (int row = 0; row < answer; row++)
            {
                double[] expected = Attention(trace.Tensors[$"layer{layer}.qkv"], decoder, whole.Length, whole.Length - answer + row);
                ReadOnlySpan<float> actual = explanation.Attention.Of(layer, row);
                for (int i = 0; i < expected.Length; i++) Assert.True(Math.Abs(expected[i] - actual[i]) < 1e-5, $"layer {layer}, row {row}, position {i}");
            }
        }
    }

    [Fact]
    public void SharesSumToOneAndLookBackOnly()
    {
        using LlavaSpModel model = Load("cropping-f32", "cpu");
        AnswerExplanation explanation = ModelExplainer.Run(model, Request(model, 6));
        int rows = explanation.Attention.Rows, positions = explanation.Attention.Positions;
        for (int row = 0; row < rows; row++)
        {
            float[] mean = explanation.Attention.Mean(row);
            Assert.Equal(1, mean.Sum(), 4);
            Assert.All(mean[(positions - rows + row + 1)..], share => Assert.Equal(0, share));
        }

        Assert.All(explanation.Words, word => Assert.Equal(1, explanation.AttentionOf(word).Sum(), 4));
        Assert.All(explanation.Words, word => Assert.Equal(1, explanation.AttentionOf(word, 1).Sum(), 4));
    }

    [Fact]
    public void CroppingTokensReadTheMiddleAndFuseTheGrid()
    {
        using LlavaSpModel model = Load("cropping-f32", "cpu");
        AnswerExplanation explanation = ModelExplainer.Run(model, Request(model, 2));
        PictureExplanation picture = Assert.Single(explanation.Pictures);
        Assert.Equal([4, 8, 12, 16, 20, 24], picture.SpatialTokens.Select(token => token.KernelSize));
        // 336 pixels of 336: a crop of 4 patches of 14 pixels in the middle.
        Assert.Equal(new PictureRegion(140, 140, 196, 196), picture.SpatialTokens[0].Region);
        Assert.Equal(new PictureRegion(0, 0, 336, 336), picture.SpatialTokens[5].Region);
        DetailFusionView fusion = Assert.Single(picture.DetailFusion);
        Assert.Equal(25, fusion.Regions.Count);
        Assert.Equal(new PictureRegion(0, 0, 224, 224), fusion.Regions[0]);
        Assert.Equal(new PictureRegion(28, 0, 252, 224), fusion.Regions[1]);
        Assert.Equal(6 * 25, fusion.Shares.Length);
        for (int token = 0; token < 6; token++) Assert.Equal(1, fusion.Shares.AsSpan(token * 25, 25).ToArray().Sum(), 4);

        // Six tokens, then the patches row by row.
        Assert.Equal(6 + 576, picture.Positions.Count);
        Assert.Equal([0, 1, 2, 3, 4, 5, -1], picture.Positions.Take(7).Select(position => position.SpatialToken));
        Assert.Equal(new PictureRegion(14, 0, 28, 14), picture.Positions[7].Region);
        Assert.Equal(new PictureRegion(0, 14, 14, 28), picture.Positions[6 + 24].Region);
    }

    [Fact]
    public void PoolingTokensReadEverythingAndFuseNothing()
    {
        using LlavaSpModel model = Load("pooling-f32", "cpu");
        PictureExplanation picture = ModelExplainer.Run(model, Request(model, 1)).Pictures[0];
        Assert.All(picture.SpatialTokens, token => Assert.Equal((SpatialMode.Pooling, new PictureRegion(0, 0, 336, 336)), (token.Mode, token.Region)));
        Assert.Empty(picture.DetailFusion);
    }

    [Fact]
    public void TilesOfAnyresAreWhereTheyLie()
    {
        using LlavaSpModel model = Load("cropping-gqa-f16-anyres", "cpu");
        PreparedImage image = model.Prepare(ImageDecoder.Decode(Goldens.Image('a')));
        AnswerExplanation explanation = ModelExplainer.Run(model, Request(model, 1, image));
        PictureExplanation picture = explanation.Pictures[0];
        int tiles = image.Pixels.Tiles;
        Assert.Equal(tiles * 6, picture.SpatialTokens.Count);
        Assert.Equal(tiles, picture.DetailFusion.Count);
        // Every patch lies in the picture, or on the padding beside it; all of it is covered.
        PictureRegion[] patches = [.. picture.Positions.Where(position => position.Region is not null).Select(position => position.Region!.Value)];
        Assert.True(patches.Min(region => region.Left) <= 0 && patches.Max(region => region.Right) >= picture.Width);
        Assert.True(patches.Min(region => region.Top) <= 0 && patches.Max(region => region.Bottom) >= picture.Height);
        Assert.Equal(model.Encoder.LengthOf(image), picture.Positions.Count);
    }

    [Fact]
    public void WordsHaveAllTokensWithText()
    {
        using LlavaSpModel model = Load("pooling-f32", "cpu");
        AnswerExplanation explanation = ModelExplainer.Run(model, Request(model, 12));
        string[] split = explanation.Answer.Text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(split, explanation.Words.Select(word => word.Text));
        Assert.All(explanation.Words.Zip(explanation.Words.Skip(1)), pair => Assert.True(pair.First.First + pair.First.Count <= pair.Second.First));
    }

    private static LlavaSpModel Load(string checkpoint, string device) => LlavaSpModel.Load(
        Goldens.Checkpoint(checkpoint), new LoadOptions { Device = new DeviceOptions(device), Weights = WeightFormat.F32, KvFormat = KvFormat.F32 });

    private static GenerationRequest Request(LlavaSpModel model, int tokens, PreparedImage? image = null) => new()
    {
        PromptIds = model.Encode(Question),
        Images = [image ?? model.Prepare(ImageDecoder.Decode(Goldens.Image('c')))],
        MaxNewTokens = tokens,
        IgnoreEnd = true,
    };

    private static double[] Attention(float[] qkv, DecoderConfig decoder, int positions, int position)
    {
        int width = decoder.HeadDim, columns = (decoder.Heads + (2 * decoder.KvHeads)) * width;
        var mean = new double[positions];
        for (int head = 0; head < decoder.Heads; head++)
        {
            double[] query = Rotated(position, head);
            double[] scores = [.. Enumerable.Range(0, position + 1).Select(i =>
                Rotated(i, decoder.Heads + (head / (decoder.Heads / decoder.KvHeads))).Zip(query, (a, b) => a * b).Sum() / Math.Sqrt(width))];
            double most = scores.Max(), sum = scores.Sum(score => Math.Exp(score - most));
            for (int i = 0; i <= position; i++) mean[i] += Math.Exp(scores[i] - most) / sum / decoder.Heads;
        }

        return mean;

        // Pairs of elements half a head apart, as complex numbers that turn.
        double[] Rotated(int at, int head)
        {
            var turned = new double[width];
            for (int i = 0; i < width / 2; i++)
            {
                double real = qkv[(at * columns) + (head * width) + i], imaginary = qkv[(at * columns) + (head * width) + (width / 2) + i];
                var (sin, cos) = Math.SinCos(at * Math.Pow(decoder.RopeTheta, -2.0 * i / width));
                turned[i] = (real * cos) - (imaginary * sin);
                turned[(width / 2) + i] = (imaginary * cos) + (real * sin);
            }

            return turned;
        }
    }

    private sealed class Traced : ITraceSink
    {
        public Dictionary<string, float[]> Tensors { get; } = [];

        public bool Wants(string name) => name.EndsWith(".qkv", StringComparison.Ordinal);

        public void Add(string name, ReadOnlySpan<float> values, params ReadOnlySpan<long> shape) => Tensors[name] = values.ToArray();
    }
}
