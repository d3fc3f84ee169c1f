using System.Globalization;
using System.Text.Json;

namespace LlavaSp.Peers;

/// <summary>LlavaSp as its users have it: its command line tool on a checkpoint that was quantised before.</summary>
internal sealed class OwnTool(string tool, PeerOptions options)
{
    // The decoder in float32 is larger than this machine's memory; the vision tower is what that source is for.
    private const string VisionOnly = "float32";

    /// <summary>Measures one weight format.</summary>
    public Measurement Measure(Source source)
    {
        IEnumerable<string> model = source.Format == VisionOnly
            ? [.. Shape(1), "--weights", "int4", "--vision-weights", "f32"]
            : ["--model", Warm(Checkpoint(source.Format))];
        string[] arguments =
        [
            "bench", .. model, "--repeat", Text(options.Runs), "--decode", Text(Shapes.DecodeTokens), "--threads", Text(Shapes.Threads), "--json",
        ];
        using JsonDocument json = JsonDocument.Parse(Comparison.Output(tool, arguments));
        JsonElement root = json.RootElement;
        var result = new Measurement { Version = $"LlavaSp {Comparison.Output(tool, ["--version"]).Trim().Split('+')[0]}, {root.GetProperty("device").GetProperty("instruction_set").GetString()} kernels" };
        result.Ceilings = root.GetProperty("ceilings").EnumerateObject().Where(entry => entry.Value.ValueKind == JsonValueKind.Number)
            .ToDictionary(entry => entry.Name, entry => entry.Value.GetDouble());

        Dictionary<string, JsonElement> stages = root.GetProperty("stages").EnumerateArray().ToDictionary(stage => stage.GetProperty("stage").GetString()!);
        double Seconds(string stage) => stages[stage].GetProperty("milliseconds").GetDouble() / 1000;
        double Share(string stage, string name) => stages[stage].GetProperty(name) is { ValueKind: JsonValueKind.Number } share ? share.GetDouble() : double.NaN;
        result.Metrics[Metric.Vision] = Seconds("vision") + Seconds("spatial tokens") + Seconds("projector");
        double Operations(string stage) => stages[stage].GetProperty("operations").GetDouble();
        double picture = Operations("vision") + Operations("projector") + Operations("spatial tokens");
        double peak = result.Ceilings[source.Format == VisionOnly ? "float32_gflops" : "int8_gops"] * 1e9;
        result.Metrics[Metric.Vision + Metric.ShareOfPeak] = picture / result.Metrics[Metric.Vision] / peak;
        result.Metrics[Metric.SpatialTokens] = Seconds("spatial tokens");
        result.Metrics[Metric.SpatialTokens + Metric.ShareOfRead] = Share("spatial tokens", "share_of_read_bandwidth");
        if (source.Format == VisionOnly) return result;

        JsonElement speed = root.GetProperty("tokens_per_second");
        result.Metrics[Metric.Prefill] = speed.GetProperty("prefill").GetDouble();
        result.Metrics[Metric.Prefill + Metric.ShareOfPeak] = Share("prefill", "share_of_peak");
        result.Metrics[Metric.DecodeCached] = speed.GetProperty("decode").GetDouble();
        result.Metrics[Metric.DecodeCached + Metric.ShareOfRead] = Share("decode, one token", "share_of_read_bandwidth");
        result.Metrics[Metric.DecodeEmpty] = speed.GetProperty("decode_empty_cache").GetDouble();
        double weights = stages["prefill"].GetProperty("bytes").GetDouble();
        double read = result.Ceilings["read_gigabytes_per_second"] * 1e9;
        result.Metrics[Metric.DecodeEmpty + Metric.ShareOfRead] = weights * result.Metrics[Metric.DecodeEmpty] / read;
        result.Metrics[Metric.FirstToken] = root.GetProperty("first_token_milliseconds").GetDouble() / 1000;
        result.Metrics[Metric.FirstToken + Metric.ShareOfPeak] = (picture + Operations("prefill")) / result.Metrics[Metric.FirstToken] / peak;
        result.Metrics[Metric.PeakMemory] = root.GetProperty("peak_memory_bytes").GetDouble();
        // Keys and values, in half precision, of all positions that were computed.
        double cache = stages["decode, one token"].GetProperty("bytes").GetDouble() - weights;
        result.Metrics[Metric.ModelBytes] = root.GetProperty("weight_bytes").GetDouble() + cache;
        result.Metrics[Metric.Load] = root.GetProperty("load_milliseconds").GetDouble() / 1000;
        return result;
    }

    /// <summary>
    /// Reads the files of a folder twice: the peers' own files may have taken their place in the page cache, and what was read only once is the first that a large process
    /// drives out of it.
    /// </summary>
    private static string Warm(string folder)
    {
        var buffer = new byte[1 << 20];
        foreach (string file in Directory.EnumerateFiles(folder, "*.safetensors").SelectMany(file => new[] { file, file }))
        {
            using FileStream stream = File.OpenRead(file);
            while (stream.Read(buffer) > 0)
            {
            }
        }

        return folder;
    }

    /// <summary>A checkpoint of random weights in the tool's own format, written once.</summary>
    private string Checkpoint(string format)
    {
        string folder = Path.Combine(options.WorkFolder, $"llava-sp-{format}{(options.Quick ? "-quick" : "")}");
        if (Directory.Exists(folder)) return folder;
        Comparison.Output(tool, ["bench", .. Shape(options.Quick ? Shapes.QuickLayers : null), "--weights", format, "--save", folder]);
        return folder;
    }

    private static IEnumerable<string> Shape(int? layers) =>
        ["--shape", "llava-sp-7b", "--variant", "pooling", .. layers is { } count ? new[] { "--decoder-layers", Text(count) } : []];

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);
}
