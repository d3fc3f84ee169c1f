using LlavaSp.Backends;
using LlavaSp.Generation;
using LlavaSp.Imaging;
using LlavaSp.Text;

namespace LlavaSp.Cli.Bench;

/// <summary>Milliseconds of a stage over several runs.</summary>
/// <param name="Stage">Stage; a decode entry is one token.</param>
/// <param name="Median">Median of the runs.</param>
/// <param name="Min">Fastest run.</param>
/// <param name="Max">Slowest run.</param>
internal sealed record StageTiming(Stage Stage, double Median, double Min, double Max)
{
    /// <summary>Summary of the runs.</summary>
    public static StageTiming Of(Stage stage, IReadOnlyList<double> runs)
    {
        double[] sorted = [.. runs.Order()];
        double median = sorted.Length % 2 == 1 ? sorted[sorted.Length / 2] : (sorted[sorted.Length / 2 - 1] + sorted[sorted.Length / 2]) / 2;
        return new StageTiming(stage, median, sorted[0], sorted[^1]);
    }
}

/// <summary>Times the real graph on a model: one picture, a prompt, some greedy tokens.</summary>
internal sealed class BenchRun(LlavaSpModel model, int textTokens, int decodeTokens)
{
    private const int Seed = 7;

    /// <summary>Positions of the prompt, the picture's rows included.</summary>
    public int PromptLength { get; private set; }

    /// <summary>Milliseconds to the first token: vision to prefill.</summary>
    public StageTiming FirstToken { get; private set; } = new(Stage.Prefill, 0, 0, 0);

    /// <summary>Milliseconds of one token behind a prompt of one, where the cache costs nothing.</summary>
    public StageTiming EmptyCacheDecode { get; private set; } = new(Stage.Decode, 0, 0, 0);

    /// <summary>One run to warm up, then <paramref name="repeats"/> that count.</summary>
    public IReadOnlyList<StageTiming> Measure(int repeats, Action<int>? progress = null)
    {
        PromptSequence prompt = Prompt();
        PromptLength = prompt.Length;
        var runs = new Dictionary<Stage, List<double>>();
        var firsts = new List<double>();
        for (int run = 0; run <= repeats; run++)
        {
            StageTimes times = Once(prompt, decodeTokens);
            progress?.Invoke(run);
            if (run == 0) continue;
            foreach (Stage stage in Enum.GetValues<Stage>().Where(stage => times[stage] > 0))
            {
                if (!runs.TryGetValue(stage, out List<double>? list)) runs[stage] = list = [];
                list.Add(stage == Stage.Decode ? times[stage] / decodeTokens : times[stage]);
            }

            firsts.Add(FirstTokenOf(times));
        }

        FirstToken = StageTiming.Of(Stage.Prefill, firsts);
        PromptSequence single = PromptSequence.Create(Text()[..1], [], model.Encoder.LengthOf, model.Checkpoint.Decoder.VocabularySize);
        EmptyCacheDecode = StageTiming.Of(Stage.Decode, [.. Enumerable.Range(0, repeats).Select(_ => Once(single, decodeTokens)[Stage.Decode] / decodeTokens)]);
        return [.. runs.OrderBy(entry => entry.Key).Select(entry => StageTiming.Of(entry.Key, entry.Value))];
    }

    /// <summary>One run to the first logits, for callers that let models take turns.</summary>
    public StageTimes Prefill() => Once(Prompt(), 0);

    /// <summary>Milliseconds to the first token: vision to prefill.</summary>
    public static double FirstTokenOf(StageTimes times) => times[Stage.Vision] + times[Stage.SpatialTokens] + times[Stage.Projector] + times[Stage.Prefill];

    private int[] Text()
    {
        var random = new Random(Seed);
        return [.. Enumerable.Range(0, textTokens).Select(_ => random.Next(3, model.Checkpoint.Decoder.VocabularySize))];
    }

    private PromptSequence Prompt()
    {
        int[] text = Text();
        int[] ids = [.. text[..(textTokens / 2)], ImageToken.Id, .. text[(textTokens / 2)..]];
        return PromptSequence.Create(ids, [RandomPicture(model)], model.Encoder.LengthOf, model.Checkpoint.Decoder.VocabularySize);
    }

    private StageTimes Once(PromptSequence prompt, int steps)
    {
        var times = new StageTimes();
        using var runner = new SequenceRunner(
            model.Backend, model.Checkpoint.Decoder, model.Decoder, model.Encoder, prompt.Length + steps, model.KvFormat);
        runner.Prefill(prompt, times);
        // Waits for a device that works on its own; where tokens are decoded, their choice does.
        if (steps == 0) model.Backend.Argmax(runner.Logits);
        runner.Timer.Begin();
        for (int i = 0; i < steps; i++) runner.Step(model.Backend.Argmax(runner.Logits));
        runner.Timer.End(Stage.Decode);
        runner.Timer.Settle();
        return times;
    }

    /// <summary>A tile of noise: values do not change the time.</summary>
    private static PreparedImage RandomPicture(LlavaSpModel model)
    {
        int size = model.Checkpoint.Vision.ImageSize;
        var pixels = new byte[size * size * 3];
        new Random(Seed).NextBytes(pixels);
        return model.Prepare(new RgbImage(size, size, pixels));
    }
}
