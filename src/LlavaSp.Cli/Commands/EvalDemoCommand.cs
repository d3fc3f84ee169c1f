using System.CommandLine;
using LlavaSp.Checkpoints;
using LlavaSp.Cli.Evaluating;
using LlavaSp.Cli.Options;
using LlavaSp.Cli.Output;
using LlavaSp.Cli.Running;
using LlavaSp.Evaluation.Worlds;
using LlavaSp.Quantization;

namespace LlavaSp.Cli.Commands;

/// <summary><c>llava-sp eval demo</c>: the three demo models on test scenes, by family, weight format and device; a document with tables and plots.</summary>
internal static class EvalDemoCommand
{
    private const int MostScenes = 100_000, MostRounds = 1000;

    private static readonly string[] FormatNames = ["f32", "f16", "int8", "int4"];

    public static Command Create()
    {
        var command = new Command("demo", "Evaluate the three demo models on test scenes of the small world: accuracy, weight formats, devices, time to first token");
        var models = new Option<string?>("--models")
        {
            Description = "Folder of llava-sp-v1-demo-none-lora, -pooling-lora, -cropping-lora, their base model and CLIP [default: the embedded ones]",
            HelpName = "DIR",
        };
        Option<int> scenes = Choices.Count("--scenes", 300, MostScenes, "Test scenes");
        Option<string[]?> variants = Choices.List("--variants", "Models between commas [default: all]", string.Join(',', DemoModels.Variants), Variant);
        Option<WeightFormat[]?> formats = Choices.List(
            "--formats", "Weight formats between commas [default: all]", string.Join(',', FormatNames), static text => WeightFormat.Parse(text));
        Option<string[]?> devices = Choices.List(
            "--devices", "Devices between commas; the first is asked about all scenes, the others are compared with it [default: cpu]", "cpu,reference", Device);
        Option<int> deviceScenes = Choices.Count("--device-scenes", 40, MostScenes, "Scenes that devices after the first are asked about");
        var threads = new Option<int>("--threads") { Description = "Worker threads; 0 takes every processor", HelpName = "N" };
        var noLatency = new Option<bool>("--no-latency") { Description = "Leave out the time to first token" };
        var shape = new Option<string>("--latency-shape")
        {
            Description = "Published shape whose time to first token is measured on random int4 weights",
            HelpName = string.Join('|', Shapes),
            DefaultValueFactory = static _ => Shapes[0],
        };
        var layers = new Option<int?>("--decoder-layers") { Description = "Only so many layers of that shape's decoder, to try it out [default: all]", HelpName = "N" };
        Option<int> rounds = Choices.Count("--latency-repeat", 5, MostRounds, "Rounds of that shape after one to warm up; the median counts");
        var output = new Option<string?>("--out") { Description = "Write the document there, its plots beside it", HelpName = "FILE" };
        Option<bool> json = Choices.Json();
        foreach (Option option in (Option[])
            [models, scenes, variants, formats, devices, deviceScenes, threads, noLatency, shape, layers, rounds, output, json]) command.Add(option);
        command.SetAction(parsed => Run(
            new DemoSettings(
                parsed.GetValue(models) ?? EmbeddedModel.Unpack(), parsed.GetValue(scenes), parsed.Given(variants) ?? DemoModels.Variants,
                parsed.Given(formats) ?? [.. FormatNames.Select(WeightFormat.Parse)], parsed.Given(devices) ?? ["cpu"], parsed.GetValue(deviceScenes),
                parsed.GetValue(threads),
                parsed.GetValue(noLatency) ? null : new LatencySettings(parsed.GetValue(shape)!, parsed.GetValue(layers), parsed.GetValue(rounds))),
            parsed.GetValue(output), parsed.GetValue(json)));
        return command;
    }

    // Those that have every variant.
    private static IReadOnlyList<string> Shapes => [.. SyntheticModel.Shapes.Where(static shape => SyntheticModel.DefaultVariant(shape) is not null)];

    private static string Variant(string text) => DemoModels.Variants.Contains(text)
        ? text
        : throw new LlavaSpException($"'{text}' is no variant: choose from {string.Join(", ", DemoModels.Variants)}");

    private static string Device(string text) => text != "auto" ? text : throw new LlavaSpException("name the devices: a report says what it is about");

    private static int Run(DemoSettings settings, string? output, bool json)
    {
        // What can be wrong is checked before the models work for hours.
        DocumentFiles? files = output is null ? null : new DocumentFiles(output);
        files?.RequireWritable();
        using var interruption = new Interruption();
        var demo = new DemoEvaluation(settings, interruption.Begin());
        demo.Check();
        WorldEvaluation evaluation = demo.Run();
        files?.Write(evaluation);
        if (json) EvaluationJson.Write(evaluation);
        else EvaluationText.Write(evaluation, files?.Document);
        return ExitCode.Success;
    }
}
