using System.CommandLine;
using System.Diagnostics;
using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Cli.Bench;
using LlavaSp.Cli.Options;
using LlavaSp.Cli.Output;
using LlavaSp.Cli.Running;
using LlavaSp.Quantization;

namespace LlavaSp.Cli.Commands;

/// <summary><c>llava-sp bench</c>: the real graph on synthetic weights of a published shape, stage by stage, beside this machine's ceilings.</summary>
internal static class BenchCommand
{
    private const string None = "none";

    private const int MostCount = 3000;

    public static Command Create()
    {
        var command = new Command("bench", "Time the real graph on random weights of a published shape, beside what this machine can do at best");
        var shape = new Option<string>("--shape")
        {
            Description = string.Join(", ", SyntheticModel.Shapes),
            HelpName = "SHAPE",
            DefaultValueFactory = static _ => SyntheticModel.Shapes[0],
        };
        Option<string?> variant = Choices.OneOf<string?>(
            "--variant", "Spatial tokens [default: pooling; none for llava-1.5-7b]", ("pooling", "pooling"), ("cropping", "cropping"), (None, None));
        var model = new Option<string?>("--model") { Description = "Time this checkpoint instead of random weights", HelpName = "DIR" };
        var save = new Option<string?>("--save")
        {
            Description = "Write the random weights as a checkpoint (without a tokenizer) and time nothing",
            HelpName = "DIR",
        };
        Option<int> text = Choices.Count("--prompt-tokens", 40, MostCount, "Text tokens of the prompt, beside the picture");
        Option<int> decode = Choices.Count("--decode", 16, MostCount, "Tokens to decode");
        var layers = new Option<int?>("--decoder-layers")
        {
            Description = "Only so many layers of the decoder, for stages that are not the decoder's [default: all]",
            HelpName = "N",
        };
        Option<int> repeats = Choices.Count("--repeat", 3, MostCount, "Runs after one to warm up; the median counts");
        Option<bool> json = Choices.Json();
        command.Add(shape);
        command.Add(variant);
        command.Add(model);
        var location = new LocationOptions(command);
        command.Add(save);
        command.Add(text);
        command.Add(decode);
        command.Add(layers);
        command.Add(repeats);
        var runtime = new RuntimeOptions(command);
        command.Add(json);
        command.Add(BenchKernelsCommand.Create());
        command.SetAction(parsed =>
        {
            string name = parsed.GetValue(shape)!;
            SpatialMode? mode = parsed.GetValue(variant) switch
            {
                null => SyntheticModel.DefaultVariant(name),
                "pooling" => SpatialMode.Pooling,
                "cropping" => SpatialMode.Cropping,
                _ => null,
            };
            string? folder = parsed.GetValue(model), target = parsed.GetValue(save);
            if (folder is not null && (target is not null || parsed.GetResult(shape) is { Implicit: false } || parsed.GetResult(variant) is not null
                    || parsed.GetValue(layers) is not null))
            {
                throw new LlavaSpException("--model has its own shape: leave out --shape, --variant, --decoder-layers and --save");
            }

            LocationOptions.RefuseWithoutModel(folder, location.Read(parsed, folder ?? ""));
            LoadOptions options = runtime.Read(parsed);
            if (target is not null && options.VisionWeights is not null)
                throw new LlavaSpException("--save writes the vision tower in the format that follows from --weights: leave out --vision-weights");
            Func<ModelCheckpoint> open = folder is null
                ? () => SyntheticModel.Create(name, mode, parsed.GetValue(layers))
                : () => ModelCheckpoint.Open(location.Read(parsed, folder));
            return target is not null
                ? ConvertCommand.Write(open, target, options.Weights, shard: null, parsed.GetValue(json))
                : Run(folder ?? name, open, options, parsed.GetValue(text), parsed.GetValue(decode), parsed.GetValue(repeats), parsed.GetValue(json));
        });
        return command;
    }

    private static int Run(
        string name, Func<ModelCheckpoint> open, LoadOptions options, int textTokens, int decodeTokens, int repeats, bool json)
    {
        // First, while the machine is otherwise idle.
        Ceilings? ceilings = Ceilings.OfProcessor(options.Device);
        long start = Stopwatch.GetTimestamp();
        using ModelCheckpoint checkpoint = open();
        using LlavaSpModel model = ProgressDisplay.Load(
            $"loading {name}", progress => LlavaSpModel.Load(checkpoint, null, options with { Progress = progress }, start), CancellationToken.None);
        checkpoint.Dispose();
        ceilings ??= Ceilings.OfGpu(model.Backend);
        var run = new BenchRun(model, textTokens, decodeTokens);
        IReadOnlyList<StageTiming> timings = run.Measure(repeats);
        Dictionary<Generation.Stage, StageCost> costs = StageCost.Of(model, run.PromptLength).ToDictionary(cost => cost.Stage);
        BenchRow[] rows = [.. timings.Where(timing => costs.ContainsKey(timing.Stage)).Select(timing =>
            new BenchRow(timing, costs[timing.Stage], ceilings, UsesIntegers(model, timing.Stage, options.Device.Int8Activations)))];
        var report = new BenchReport(model, name, run, rows, ceilings, decodeTokens, repeats);
        if (json) report.WriteJson();
        else report.WriteText();
        return ExitCode.Success;
    }

    // The processor multiplies bytes wherever weights are integers; the GPU where they have 8 bits.
    private static bool UsesIntegers(LlavaSpModel model, Generation.Stage stage, bool int8Activations) => int8Activations && model.Device.Device switch
    {
        "cpu" => WeightsOf(model, stage).IsInteger,
        "cuda" or "cuda-emulator" => WeightsOf(model, stage).Kind == WeightKind.Int8,
        _ => false,
    };

    private static WeightFormat WeightsOf(LlavaSpModel model, Generation.Stage stage) =>
        stage is Generation.Stage.Vision or Generation.Stage.Projector ? model.VisionWeights : model.Weights;
}
