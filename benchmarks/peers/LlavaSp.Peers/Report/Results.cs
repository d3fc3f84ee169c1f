using System.Text.Json;
using System.Text.Json.Serialization;

namespace LlavaSp.Peers.Report;

/// <summary>All that a comparison measured, as it is kept in a file.</summary>
internal sealed class Results
{
    /// <summary>How everything here is written as JSON.</summary>
    public static JsonSerializerOptions Json { get; } = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    public string Date { get; set; } = "";

    public string Machine { get; set; } = "";

    public string Commit { get; set; } = "";

    public bool Quick { get; set; }

    public int Repeats { get; set; }

    /// <summary>What each process measured, by the id of its source.</summary>
    public Dictionary<string, List<Measurement>> Runs { get; set; } = [];

    /// <summary>Why a source has no or too few measurements.</summary>
    public Dictionary<string, string> Missing { get; set; } = [];

    public static Results Load(string file) => JsonSerializer.Deserialize<Results>(File.ReadAllText(file), Json)
        ?? throw new PeerException($"{file} is empty");

    public void Save(string file)
    {
        File.WriteAllText(file + ".partial", JsonSerializer.Serialize(this, Json));
        File.Move(file + ".partial", file, true);
    }

    /// <summary>A metric of a source over its processes; null where it was not measured.</summary>
    public Spread? Of(string source, string metric)
    {
        if (!Runs.TryGetValue(source, out List<Measurement>? runs)) return null;
        double[] values = [.. runs.Where(run => run.Metrics.ContainsKey(metric)).Select(run => run.Metrics[metric]).Where(double.IsFinite)];
        return values.Length == 0 ? null : new Spread(Measurement.Median(values), values.Min(), values.Max());
    }

    /// <summary>Median of a ceiling over all processes of LlavaSp.</summary>
    public double? Ceiling(string name)
    {
        double[] values = [.. Runs.Values.SelectMany(runs => runs).Where(run => run.Ceilings?.ContainsKey(name) == true).Select(run => run.Ceilings![name])];
        return values.Length == 0 ? null : Measurement.Median(values);
    }
}

/// <summary>Median, smallest and largest of several processes.</summary>
internal sealed record Spread(double Median, double Min, double Max);
