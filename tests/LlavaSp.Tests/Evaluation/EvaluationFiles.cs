using System.Text.Json;
using LlavaSp.Evaluation;
using LlavaSp.Evaluation.Scoring;
using LlavaSp.Tests.Checkpoints;

namespace LlavaSp.Tests.Evaluation;

/// <summary>Files of benchmarks, made by hand.</summary>
internal static class EvaluationFiles
{
    /// <summary>An answer as upstream writes it.</summary>
    public static string Answer(object id, string text, string prompt = "?", string model = "m") =>
        $"{{\"question_id\": {JsonSerializer.Serialize(id)}, \"prompt\": {JsonSerializer.Serialize(prompt)}, \"text\": {JsonSerializer.Serialize(text)}, "
        + $"\"answer_id\": \"x\", \"model_id\": \"{model}\", \"metadata\": {{}}}}";

    /// <summary>Writes an answer file.</summary>
    public static string Answers(this TemporaryFolder folder, params (object Id, string Text)[] answers) =>
        folder.Write("answers.jsonl", Lines(answers.Select(answer => Answer(answer.Id, answer.Text))));

    public static string Lines(params IEnumerable<string> lines) => string.Concat(lines.Select(line => line + "\n"));

    /// <summary>A metric of all questions, or of a group.</summary>
    public static double Metric(this ScoreReport report, string name, string? group = null) =>
        Group(report, group).Metrics.Single(metric => metric.Name == name).Value;

    public static ScoreGroup Group(this ScoreReport report, string? group) =>
        group is null ? report.Overall : report.Groups.Single(candidate => candidate.Name == group);

    /// <summary>Asserts a refusal in one line that holds all of the parts.</summary>
    public static void Refuses(Action action, params string[] parts)
    {
        BenchmarkException refusal = Assert.Throws<BenchmarkException>(action);
        foreach (string part in parts) Assert.Contains(part, refusal.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(refusal.Message, char.IsControl);
    }
}
