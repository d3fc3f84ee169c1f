using System.Text.Json;
using System.Text.Json.Serialization;

namespace LlavaSp.TrainDemo.Training;

/// <summary>What was measured at a step of a phase.</summary>
/// <param name="Phase">Name of the phase.</param>
/// <param name="Step">Steps done.</param>
/// <param name="Pictures">Pictures seen in this phase.</param>
/// <param name="Seconds">Time of this phase so far, interruptions left out.</param>
/// <param name="AnswerLoss">Mean loss of the answers since the last entry; null where they do not count.</param>
/// <param name="PatchLoss">The same of what patches show.</param>
/// <param name="GazeLoss">The same of where attention goes.</param>
/// <param name="MentionLoss">The same of what nouns, answers and patch tokens hold.</param>
/// <param name="Accuracy">Right answers of the validation scenes by family, where they were asked.</param>
internal sealed record LogEntry(
    string Phase, int Step, int Pictures, double Seconds, double? AnswerLoss, double? PatchLoss, double? GazeLoss, double? MentionLoss, SortedDictionary<string, double>? Accuracy);

/// <summary>The log as lines of JSON, which an interruption leaves whole.</summary>
internal sealed class TrainingLog
{
    private readonly string _path;
    private readonly List<LogEntry> _entries = [];

    public TrainingLog(string path)
    {
        _path = path;
        if (!File.Exists(path)) return;
        foreach (string line in File.ReadLines(path)) _entries.Add(JsonSerializer.Deserialize(line, LogJson.Default.LogEntry)!);
    }

    public IReadOnlyList<LogEntry> Entries => _entries;

    /// <summary>Appends.</summary>
    public void Add(LogEntry entry)
    {
        _entries.Add(entry);
        File.AppendAllText(_path, JsonSerializer.Serialize(entry, LogJson.Default.LogEntry) + "\n");
    }

    /// <summary>Forgets what was logged of a phase behind the step from which it goes on.</summary>
    public void Rewind(string phase, int step)
    {
        if (_entries.RemoveAll(entry => entry.Phase == phase && entry.Step > step) == 0) return;
        string temporary = _path + ".tmp";
        File.WriteAllLines(temporary, _entries.Select(entry => JsonSerializer.Serialize(entry, LogJson.Default.LogEntry)));
        File.Move(temporary, _path, overwrite: true);
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(LogEntry))]
internal sealed partial class LogJson : JsonSerializerContext;
