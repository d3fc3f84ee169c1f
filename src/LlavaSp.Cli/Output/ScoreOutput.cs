using System.Globalization;
using System.Text.Json;
using LlavaSp.Checkpoints;
using LlavaSp.Cli.Running;
using LlavaSp.Evaluation.Scoring;

namespace LlavaSp.Cli.Output;

/// <summary>The score of a benchmark, as a table or as JSON.</summary>
internal static class ScoreOutput
{
    private const int Digits = 6;

    /// <summary>One row for each group, all questions last; shares in per cent.</summary>
    public static void WriteText(ScoreReport report)
    {
        ScoreGroup[] groups = [.. report.Groups, report.Overall];
        string[] metrics = [.. groups.SelectMany(group => group.Metrics).Select(metric => metric.Name).Distinct()];
        Columns.Write(
            Console.Out, [report.Benchmark, "questions", .. metrics],
            [.. groups.Select(group => (string[])
                [Refusal.OneLine(group.Name), group.Questions.ToString(CultureInfo.InvariantCulture), .. metrics.Select(name => Cell(group, name))])],
            rightFrom: 1);
        if (report.Unanswered > 0) Notes.Write($"{report.Unanswered} questions of the annotations have no answer");
    }

    /// <summary>One object; shares from 0 to 1, null where a rule divides by nothing.</summary>
    public static void WriteJson(ScoreReport report) => JsonOutput.Write(json =>
    {
        json.WriteString("benchmark", report.Benchmark);
        WriteGroup(json, report.Overall);
        json.WriteNumber("unanswered", report.Unanswered);
        json.WriteStartArray("groups");
        foreach (ScoreGroup group in report.Groups)
        {
            json.WriteStartObject();
            json.WriteString("name", group.Name);
            WriteGroup(json, group);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    });

    private static void WriteGroup(Utf8JsonWriter json, ScoreGroup group)
    {
        json.WriteNumber("questions", group.Questions);
        foreach (ScoreMetric metric in group.Metrics)
        {
            string name = metric.Name.Replace(' ', '_').ToLowerInvariant();
            if (double.IsFinite(metric.Value)) json.WriteNumber(name, Math.Round(metric.Value, Digits));
            else json.WriteNull(name);
        }
    }

    private static string Cell(ScoreGroup group, string name) => group.Metrics.FirstOrDefault(metric => metric.Name == name) switch
    {
        null => "",
        { Value: double.NaN } => "-",
        { IsShare: true } metric => string.Create(CultureInfo.InvariantCulture, $"{100 * metric.Value:f2} %"),
        { } metric => metric.Value.ToString("f2", CultureInfo.InvariantCulture),
    };
}
