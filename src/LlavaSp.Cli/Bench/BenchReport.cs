using System.Globalization;
using System.Text.Json;
using LlavaSp.Cli.Output;
using LlavaSp.Cli.Running;
using LlavaSp.Generation;
using Spectre.Console;

namespace LlavaSp.Cli.Bench;

/// <summary>One stage: what it took, what it must move and compute, and the ceilings it is held against.</summary>
/// <param name="Timing">Milliseconds.</param>
/// <param name="Cost">Bytes and operations.</param>
/// <param name="Ceilings">Ceilings; null where they were not measured.</param>
/// <param name="IntegerProducts">Whether its products run on 8-bit integers.</param>
internal sealed record BenchRow(StageTiming Timing, StageCost Cost, Ceilings? Ceilings, bool IntegerProducts)
{
    /// <summary>Bytes per second.</summary>
    public double BytesPerSecond => Cost.Bytes / Timing.Median * 1000;

    /// <summary>Operations per second.</summary>
    public double OperationsPerSecond => Cost.Operations / Timing.Median * 1000;

    /// <summary>Share of the read bandwidth.</summary>
    public double BandwidthShare => BytesPerSecond / Ceilings?.ReadBytes ?? double.NaN;

    /// <summary>Share of the arithmetic that the stage's products could use.</summary>
    public double ArithmeticShare => OperationsPerSecond / (IntegerProducts ? Ceilings?.Int8 : Ceilings?.Floats) ?? double.NaN;

    /// <summary>Which arithmetic that is.</summary>
    public string Peak => IntegerProducts ? "int8" : Ceilings?.FloatType ?? "float32";
}

/// <summary>The result of <c>llava-sp bench</c>, as tables or JSON.</summary>
internal sealed class BenchReport(LlavaSpModel model, string shape, BenchRun run, IReadOnlyList<BenchRow> rows, Ceilings? ceilings, int decodeTokens, int repeats)
{
    /// <summary>Tables for a person.</summary>
    public void WriteText()
    {
        TextWriter output = Console.Out;
        output.WriteLine(
            $"{shape}, variant {model.Checkpoint.Spatial.Variant}, weights {model.Weights} (vision {model.VisionWeights}; {ByteSize.Text(model.WeightBytes)}), "
            + $"KV cache {model.KvFormat.ToString().ToLowerInvariant()}");
        output.WriteLine($"device: {model.Device.Device} ({model.Device.InstructionSet}, {model.Device.Threads} threads; {model.Device.Reason})");
        output.WriteLine(ceilings is null ? "ceilings: not known of this device" : Text(ceilings));
        output.WriteLine($"prompt of {run.PromptLength} positions, one picture among them; {decodeTokens} tokens decoded; median of {repeats} runs after one to warm up");

        var table = new Table { Border = TableBorder.Simple };
        table.AddColumn("Stage");
        foreach (string header in (string[])["ms", "min - max", "MB", "GOP", "GB/s", "of read", "GOP/s", "of peak", "peak"]) table.AddColumn(new TableColumn(header).RightAligned());
        foreach (BenchRow row in rows)
        {
            table.AddRow(
                Name(row.Timing.Stage), Invariant($"{row.Timing.Median:f2}"), Invariant($"{row.Timing.Min:f2} - {row.Timing.Max:f2}"),
                Invariant($"{row.Cost.Bytes / 1e6:f1}"), Invariant($"{row.Cost.Operations / 1e9:f2}"), Invariant($"{row.BytesPerSecond / 1e9:f2}"),
                Share(row.BandwidthShare), Invariant($"{row.OperationsPerSecond / 1e9:f1}"), Share(row.ArithmeticShare), row.Peak);
        }

        Consoles.Out.Write(table);
        double prefill = Median(Stage.Prefill), decode = Median(Stage.Decode);
        output.WriteLine(Invariant(
            $"first token after {run.FirstToken.Median:f0} ms; prefill {run.PromptLength / prefill * 1000:f1} tokens/s; decode {1000 / decode:f2} tokens/s"));
        output.WriteLine(Invariant($"decode with an empty cache {1000 / run.EmptyCacheDecode.Median:f2} tokens/s"));
        output.WriteLine($"loaded in {model.LoadMilliseconds:f0} ms; peak memory {PeakMemory.Text(model)}");
    }

    /// <summary>One JSON object.</summary>
    public void WriteJson() => JsonOutput.Write(json =>
    {
        json.WriteString("shape", shape);
        json.WriteString("variant", model.Checkpoint.Spatial.Variant);
        json.WriteNumber("weight_bytes", model.WeightBytes);
        DeviceJson.Write(json, model);
        if (ceilings is not null) WriteCeilings(json, ceilings);
        json.WriteNumber("prompt_tokens", run.PromptLength);
        json.WriteNumber("decode_tokens", decodeTokens);
        json.WriteNumber("repeats", repeats);
        json.WriteStartArray("stages");
        foreach (BenchRow row in rows) WriteRow(json, row);
        json.WriteEndArray();
        json.Number("first_token_milliseconds", run.FirstToken.Median);
        json.Object("tokens_per_second", () =>
        {
            json.Number("prefill", run.PromptLength / Median(Stage.Prefill) * 1000);
            json.Number("decode", 1000 / Median(Stage.Decode));
            json.Number("decode_empty_cache", 1000 / run.EmptyCacheDecode.Median);
        });
        json.Number("load_milliseconds", model.LoadMilliseconds);
        json.WriteNumber("peak_memory_bytes", PeakMemory.Bytes());
        if (model.PeakDeviceBytes > 0) json.WriteNumber("peak_device_memory_bytes", model.PeakDeviceBytes);
    });

    private static string Text(Ceilings ceilings)
    {
        string read = Invariant($"read {ceilings.ReadBytes / 1e9:f1} GB/s"), floats = Invariant($"{ceilings.FloatType} {ceilings.Floats / 1e9:f0} GFLOP/s");
        return Invariant($"ceilings: {read}, {floats}, int8 {ceilings.Int8 / 1e9:f0} Gop/s ({ceilings.Source})");
    }

    private static void WriteCeilings(Utf8JsonWriter json, Ceilings ceilings) => json.Object("ceilings", () =>
    {
        json.WriteString("source", ceilings.Source);
        json.Number("read_gigabytes_per_second", ceilings.ReadBytes / 1e9);
        json.Number($"{ceilings.FloatType}_gflops", ceilings.Floats / 1e9);
        json.Number("int8_gops", ceilings.Int8 / 1e9);
    });

    private static void WriteRow(Utf8JsonWriter json, BenchRow row)
    {
        json.WriteStartObject();
        json.WriteString("stage", Name(row.Timing.Stage));
        json.Number("milliseconds", row.Timing.Median);
        json.Number("min", row.Timing.Min);
        json.Number("max", row.Timing.Max);
        json.Number("bytes", row.Cost.Bytes);
        json.Number("operations", row.Cost.Operations);
        json.Number("gigabytes_per_second", row.BytesPerSecond / 1e9);
        json.Number("share_of_read_bandwidth", row.BandwidthShare);
        json.Number("gops", row.OperationsPerSecond / 1e9);
        json.Number("share_of_peak", row.ArithmeticShare);
        json.WriteString("peak", row.Peak);
        json.WriteEndObject();
    }

    private double Median(Stage stage) => rows.First(row => row.Timing.Stage == stage).Timing.Median;

    private static string Name(Stage stage) => stage switch
    {
        Stage.SpatialTokens => "spatial tokens",
        Stage.Decode => "decode, one token",
        _ => stage.ToString().ToLowerInvariant(),
    };

    private static string Share(double share) => !double.IsFinite(share) ? "-" : Invariant($"{share * 100:f0} %");

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
