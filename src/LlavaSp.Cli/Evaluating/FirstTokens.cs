using System.Diagnostics;
using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Cli.Bench;
using LlavaSp.Cli.Output;
using LlavaSp.Cli.Running;
using LlavaSp.Evaluation.Worlds;
using LlavaSp.Generation;
using LlavaSp.Quantization;

namespace LlavaSp.Cli.Evaluating;

/// <summary>Time to first token of variants that are loaded together and take turns.</summary>
internal sealed class FirstTokens(IReadOnlyList<string> variants, string device, int threads, CancellationToken cancellationToken)
{
    private const int PromptTokens = 40;

    /// <summary>The demo models, one scene in each round.</summary>
    public LatencyStudy OfDemo(DemoModels models, WeightFormat format, int scenes)
    {
        var loaded = new List<LoadedModel>();
        var answerers = new List<SceneAnswerer>();
        try
        {
            foreach (string variant in variants) loaded.Add(models.Load(variant, format, device, threads, cancellationToken));
            answerers.AddRange(loaded.Select(static model => new SceneAnswerer(model)));
            // The round to warm up asks about the first scene, too.
            return Study("demo size", false, Weights(loaded[0].Model), scenes, (variant, round) =>
            {
                GenerationResult result = answerers[variant].FirstToken(Math.Max(round, 0), cancellationToken);
                return Token(result.FirstTokenMilliseconds, result.Times);
            });
        }
        finally
        {
            foreach (IDisposable one in (IEnumerable<IDisposable>)[.. answerers, .. loaded]) one.Dispose();
        }
    }

    /// <summary>Random weights of a published shape, int4 as one would run them on such a machine.</summary>
    public LatencyStudy OfShape(string shape, int? layers, int rounds)
    {
        var loaded = new List<LlavaSpModel>();
        try
        {
            foreach (string variant in variants) loaded.Add(Load(shape, variant, layers));
            BenchRun[] runs = [.. loaded.Select(static model => new BenchRun(model, PromptTokens, 0))];
            string name = layers is null ? $"{shape} shape, random weights" : $"{shape} shape with {layers} decoder layers, random weights";
            bool published = shape == SyntheticModel.Shapes[0] && layers is null && device.Split(':')[0] == "cpu";
            return Study(name, published, Weights(loaded[0]), rounds, (variant, _) =>
            {
                cancellationToken.ThrowIfCancellationRequested();
                StageTimes times = runs[variant].Prefill();
                return Token(BenchRun.FirstTokenOf(times), times);
            });
        }
        finally
        {
            foreach (LlavaSpModel model in loaded) model.Dispose();
        }
    }

    /// <summary>The checkpoint of a variant of a shape; its weights are made when they are read.</summary>
    /// <exception cref="LlavaSpException">The shape is unknown, or does not have the variant or so many layers.</exception>
    public static ModelCheckpoint Open(string shape, string variant, int? layers) => SyntheticModel.Create(
        shape, variant switch { "pooling" => SpatialMode.Pooling, "cropping" => SpatialMode.Cropping, _ => null }, layers);

    private LlavaSpModel Load(string shape, string variant, int? layers)
    {
        long start = Stopwatch.GetTimestamp();
        using ModelCheckpoint checkpoint = Open(shape, variant, layers);
        var options = new LoadOptions { Device = new(device, threads), Weights = WeightFormat.Int4() };
        return ProgressDisplay.Load(
            $"making {shape}, {variant}", progress => LlavaSpModel.Load(checkpoint, null, options with { Progress = progress }, start), cancellationToken);
    }

    // The first of a round has what the last one of the round before left in the processor's caches: the lead goes round.
    private LatencyStudy Study(string name, bool published, string weights, int rounds, Func<int, int, FirstToken> measure)
    {
        List<FirstToken>[] tokens = [.. variants.Select(static _ => new List<FirstToken>())];
        ProgressDisplay.Counted($"first tokens, {name}: rounds", rounds, advance =>
        {
            for (int round = -1; round < rounds; round++)
            {
                for (int turn = 0; turn < variants.Count; turn++)
                {
                    int variant = (Math.Max(round, 0) + turn) % variants.Count;
                    FirstToken token = measure(variant, round);
                    if (round >= 0) tokens[variant].Add(token);
                }

                if (round >= 0) advance();
            }
        });
        return new LatencyStudy(name, published, weights, [.. variants.Select((variant, i) => new VariantLatency(variant, tokens[i]))]);
    }

    private static FirstToken Token(double total, StageTimes times) =>
        new(total, times[Stage.Vision], times[Stage.SpatialTokens], times[Stage.Projector], times[Stage.Prefill]);

    private static string Weights(LlavaSpModel model) =>
        model.Weights == model.VisionWeights ? $"{model.Weights}" : $"{model.Weights} (vision tower and projector {model.VisionWeights})";
}
