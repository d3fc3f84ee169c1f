using System.Globalization;
using LlavaSp.Backends;
using LlavaSp.Cli.Output;
using LlavaSp.Cli.Running;
using LlavaSp.Evaluation.Worlds;
using LlavaSp.Quantization;

namespace LlavaSp.Cli.Evaluating;

/// <summary>What is to be evaluated.</summary>
/// <param name="Models">Folder of the models.</param>
/// <param name="Scenes">Test scenes, from the first on.</param>
/// <param name="Variants">Variants.</param>
/// <param name="Formats">Weight formats.</param>
/// <param name="Devices">Devices; the first is asked about all scenes.</param>
/// <param name="DeviceScenes">Scenes that the others are asked about.</param>
/// <param name="Threads">Worker threads; 0 for all processors.</param>
/// <param name="Latency">Time to first token; null to leave it out.</param>
internal sealed record DemoSettings(
    string Models, int Scenes, IReadOnlyList<string> Variants, IReadOnlyList<WeightFormat> Formats, IReadOnlyList<string> Devices, int DeviceScenes, int Threads,
    LatencySettings? Latency)
{
    /// <summary>The command that asks for it, without the folder: where models lie says nothing about them.</summary>
    public string Command
    {
        get
        {
            string command = string.Create(
                CultureInfo.InvariantCulture,
                $"llava-sp eval demo --scenes {Scenes} --variants {string.Join(',', Variants)} --formats {string.Join(',', Formats)} --devices {string.Join(',', Devices)}");
            if (Devices.Count > 1) command += string.Create(CultureInfo.InvariantCulture, $" --device-scenes {DeviceScenes}");
            if (Threads > 0) command += string.Create(CultureInfo.InvariantCulture, $" --threads {Threads}");
            return command + (Latency?.Arguments ?? " --no-latency");
        }
    }
}

/// <summary>How time to first token is measured on random weights.</summary>
/// <param name="Shape">Published shape.</param>
/// <param name="Layers">Decoder layers; null for all.</param>
/// <param name="Rounds">Rounds that count.</param>
internal sealed record LatencySettings(string Shape, int? Layers, int Rounds)
{
    /// <summary>The options that ask for it.</summary>
    public string Arguments
    {
        get
        {
            string arguments = string.Create(CultureInfo.InvariantCulture, $" --latency-shape {Shape} --latency-repeat {Rounds}");
            return Layers is { } layers ? string.Create(CultureInfo.InvariantCulture, $"{arguments} --decoder-layers {layers}") : arguments;
        }
    }
}

/// <summary>Runs the demo models over the test scenes, format by format and device by device, then times their first tokens.</summary>
internal sealed class DemoEvaluation(DemoSettings settings, CancellationToken cancellationToken)
{
    private const int LatencyScenes = 40;

    private readonly DemoModels _models = new(settings.Models);

    /// <summary>Fails now where <see cref="Run"/> would fail later, after hours of work.</summary>
    /// <exception cref="LlavaSpException">A model or device is not there, or there is no such shape.</exception>
    public void Check()
    {
        foreach (string variant in settings.Variants)
        {
            _models.Check(variant);
            if (settings.Latency is { } latency) FirstTokens.Open(latency.Shape, variant, latency.Layers).Dispose();
        }

        foreach (string device in settings.Devices) Describe(device);
    }

    /// <summary>Does all of it.</summary>
    /// <exception cref="LlavaSpException">A model cannot be loaded, or not answer.</exception>
    public WorldEvaluation Run()
    {
        string first = settings.Devices[0];
        int deviceScenes = Math.Min(settings.Scenes, settings.DeviceScenes);
        WorldRun[] runs = [.. Runs(first, settings.Scenes)];
        WorldRun[] others = [.. settings.Devices.Skip(1).SelectMany(other => Runs(other, deviceScenes))];
        return new WorldEvaluation(new EvaluationSetting(settings.Command, Describe(first), deviceScenes), runs, others, [.. Latencies(first)]);
    }

    private string Describe(string device)
    {
        using IBackend backend = BackendFactory.Create(new DeviceOptions(device, settings.Threads));
        return $"{backend.Info.Device} ({backend.Info.InstructionSet}, {backend.Info.Threads} threads)";
    }

    private IEnumerable<WorldRun> Runs(string device, int scenes) =>
        settings.Variants.SelectMany(variant => settings.Formats.Select(format => Run(variant, format, device, scenes)));

    private WorldRun Run(string variant, WeightFormat format, string device, int scenes)
    {
        using LoadedModel model = _models.Load(variant, format, device, settings.Threads, cancellationToken);
        using var answerer = new SceneAnswerer(model);
        var outcomes = new List<QuestionOutcome>();
        ProgressDisplay.Counted($"{variant}, {format}, {device}: scenes", scenes, advance =>
        {
            for (int scene = 0; scene < scenes; scene++)
            {
                outcomes.AddRange(answerer.Answer(scene, cancellationToken));
                advance();
            }
        });
        return new WorldRun(variant, format.ToString(), device, outcomes);
    }

    private IEnumerable<LatencyStudy> Latencies(string device)
    {
        if (settings.Latency is not { } latency) yield break;
        var tokens = new FirstTokens(settings.Variants, device, settings.Threads, cancellationToken);
        // The last format is the smallest, and what the published shape is measured in.
        yield return tokens.OfDemo(_models, settings.Formats[^1], Math.Min(settings.Scenes, LatencyScenes));
        yield return tokens.OfShape(latency.Shape, latency.Layers, latency.Rounds);
    }
}
