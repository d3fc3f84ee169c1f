using System.Diagnostics;
using System.Text.Json.Serialization;

namespace LlavaSp.Peers;

/// <summary>What one process measured of one peer.</summary>
internal sealed class Measurement
{
    /// <summary>Name and version of the library.</summary>
    public string Version { get; set; } = "";

    /// <summary>Values by the names of <see cref="Metric"/>.</summary>
    public Dictionary<string, double> Metrics { get; set; } = [];

    /// <summary>What this machine can do at best; only from LlavaSp itself.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public Dictionary<string, double>? Ceilings { get; set; }

    /// <summary>Peak resident memory of this process in bytes.</summary>
    public static double PeakMemory()
    {
        string line = File.ReadLines("/proc/self/status").First(line => line.StartsWith("VmHWM:", StringComparison.Ordinal));
        return double.Parse(line.AsSpan(6, line.Length - 6 - 3), System.Globalization.CultureInfo.InvariantCulture) * 1024;
    }

    /// <summary>Median seconds of an action over <paramref name="runs"/> runs after one to warm up.</summary>
    public static double Seconds(int runs, Action action)
    {
        action();
        return Median([.. Enumerable.Range(0, runs).Select(_ => Once(action))]);
    }

    /// <summary>Seconds of one run.</summary>
    public static double Once(Action action)
    {
        long start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>Median.</summary>
    public static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }
}

/// <summary>Names of what is measured.</summary>
internal static class Metric
{
    /// <summary>Seconds for a picture: vision tower, projector, spatial tokens where the peer has them.</summary>
    public const string Vision = "vision_seconds";

    /// <summary>Tokens per second of a prompt of <see cref="Shapes.Prompt"/>.</summary>
    public const string Prefill = "prefill_tokens_per_second";

    /// <summary>Tokens per second with an empty cache.</summary>
    public const string DecodeEmpty = "decode_empty_tokens_per_second";

    /// <summary>Tokens per second behind the prompt.</summary>
    public const string DecodeCached = "decode_cached_tokens_per_second";

    /// <summary>Seconds from picture and question to the first token.</summary>
    public const string FirstToken = "first_token_seconds";

    /// <summary>Peak resident memory in bytes.</summary>
    public const string PeakMemory = "peak_memory_bytes";

    /// <summary>Bytes of weights and cache.</summary>
    public const string ModelBytes = "weights_and_cache_bytes";

    /// <summary>Share of the read bandwidth or of the arithmetic peak: appended to another name.</summary>
    public const string ShareOfRead = "_share_of_read", ShareOfPeak = "_share_of_peak";

    /// <summary>Seconds to load a quantised checkpoint whose files are in the page cache.</summary>
    public const string Load = "load_seconds";

    /// <summary>Relative error of a product in a format: see <see cref="Accuracy.ProductProblem"/>.</summary>
    public static string Error(string format, bool outliers) => $"{ErrorOf}{format}{(outliers ? WithOutliers : "")}";

    /// <summary>Around the format in the name of an error.</summary>
    public const string ErrorOf = "error of ", WithOutliers = ", with outliers";

    /// <summary>Seconds of the spatial tokens alone.</summary>
    public const string SpatialTokens = "spatial_tokens_seconds";
}
