using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using LlavaSp.Checkpoints;
using LlavaSp.Cli.Options;
using LlavaSp.Cli.Output;
using LlavaSp.Cli.Running;
using LlavaSp.Quantization;

namespace LlavaSp.Cli.Commands;

/// <summary>
/// <c>llava-sp convert DIR --out OUT</c> and <c>llava-sp quantize DIR --out OUT</c>: one merged folder of safetensors, LoRA merged, optionally as integers.
/// </summary>
internal static class ConvertCommand
{
    private const double Gigabyte = 1e9;

    /// <summary>The command that keeps the checkpoint's format unless told otherwise.</summary>
    public static Command CreateConvert() => Create(
        "convert", "Write a checkpoint as one merged folder of safetensors: LoRA merged, vision tower inside", "f32|f16|bf16|int8|int4",
        "Format of the matrices; int8 and int4 take a group size, e.g. int4:128 [default: the checkpoint's own]", _ => true, null);

    /// <summary>The command that writes integers.</summary>
    public static Command CreateQuantize() => Create(
        "quantize", "Write a checkpoint with int8 or int4 weights as one merged folder of safetensors", "int8|int4",
        "Format of the matrices, with an optional group size, e.g. int4:128 [default: int4]", format => format.IsInteger, WeightFormat.Int4());

    private static Command Create(string name, string description, string formats, string help, Func<WeightFormat, bool> allowed, WeightFormat? fallback)
    {
        var command = new Command(name, description);
        var directory = new Argument<string>("DIR") { Description = "Checkpoint, merged or LoRA" };
        var output = new Option<string>("--out") { Description = "Folder to write; it must not exist, or be empty", HelpName = "OUT", Required = true };
        Option<WeightFormat?> weights = Choices.Parsed<WeightFormat?>("--weights", help, formats, text =>
        {
            WeightFormat format = WeightFormat.Parse(text);
            return allowed(format) ? format : throw new LlavaSpException($"{name} writes {formats}; llava-sp convert writes the others");
        });
        Option<double?> shard = Choices.Parsed<double?>(
            "--max-shard-size", "Largest file in GB (10^9 bytes) [default: 5]", "GB",
            text => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double size) && size is >= 1e-6 and <= 1e6
                ? size
                : throw new LlavaSpException("give a number of gigabytes above 0"));
        Option<bool> json = Choices.Json();
        command.Add(directory);
        var location = new LocationOptions(command);
        command.Add(output);
        command.Add(weights);
        command.Add(shard);
        command.Add(json);
        command.SetAction(parsed => Write(
            () => ModelCheckpoint.Open(location.Read(parsed, parsed.GetValue(directory)!)), parsed.GetValue(output)!, parsed.GetValue(weights) ?? fallback,
            parsed.GetValue(shard), parsed.GetValue(json)));
        return command;
    }

    /// <summary>Writes a checkpoint and says what was written.</summary>
    /// <param name="open">Opens it.</param>
    /// <param name="output">Folder that does not exist yet, or is empty.</param>
    /// <param name="weights">Format of the matrices; null keeps the checkpoint's own.</param>
    /// <param name="shard">Largest file in gigabytes; null takes the default.</param>
    /// <param name="json">One JSON object instead of text.</param>
    public static int Write(Func<ModelCheckpoint> open, string output, WeightFormat? weights, double? shard, bool json)
    {
        long start = Stopwatch.GetTimestamp();
        using ModelCheckpoint checkpoint = open();
        using var interruption = new Interruption();
        CancellationToken cancellation = interruption.Begin();
        var options = new ConversionOptions { Weights = weights };
        if (shard is { } size) options = options with { MaxShardBytes = (long)(size * Gigabyte) };
        ConversionResult result = ProgressDisplay.Load(
            $"writing {output}", progress => CheckpointConverter.Convert(checkpoint, output, options with { Progress = progress }, cancellation), cancellation);
        double milliseconds = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        long largest = checkpoint.LargestTensorBytes, peak = PeakMemory.Bytes();
        if (json)
        {
            JsonOutput.Write(writer =>
            {
                writer.WriteString("out", result.Folder);
                writer.WriteString("weights", result.Weights.ToString());
                writer.WriteNumber("files", result.Files);
                writer.WriteNumber("tensors", result.Tensors);
                writer.WriteNumber("bytes", result.Bytes);
                writer.WriteNumber("largest_tensor_bytes", largest);
                writer.WriteNumber("peak_memory_bytes", peak);
                writer.Number("milliseconds", milliseconds);
            });
            return ExitCode.Success;
        }

        foreach (string note in checkpoint.Notes) Console.Out.WriteLine(note);
        Console.Out.WriteLine(
            $"{result.Folder}: {result.Tensors} tensors in {result.Files} file(s), weights {result.Weights}, {ByteSize.Text(result.Bytes)}");
        Console.Out.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{milliseconds / 1000:f1} s; peak memory {ByteSize.Text(peak)}, the largest tensor read has {ByteSize.Text(largest)}"));
        return ExitCode.Success;
    }
}
