using System.Globalization;
using LlavaSp.Generation;
using Spectre.Console;

namespace LlavaSp.Cli.Output;

/// <summary>Where the time went: milliseconds per stage of one or more answers, shares, and rates.</summary>
internal static class StageTable
{
    private static readonly (Stage Stage, string Name)[] Stages =
    [
        (Stage.Preprocess, "Preprocess"), (Stage.Vision, "Vision"), (Stage.SpatialTokens, "Spatial tokens"), (Stage.Projector, "Projector"),
        (Stage.Prefill, "Prefill"), (Stage.Decode, "Decode"),
    ];

    /// <summary>Writes the table.</summary>
    public static void Write(IAnsiConsole console, params IReadOnlyList<(string Name, GenerationResult Result)> answers)
    {
        var table = new Table { Border = TableBorder.Simple };
        table.AddColumn("Stage");
        foreach ((string name, _) in answers) table.AddColumn(Right($"{Markup.Escape(name)}, ms"));
        table.AddColumn(Right("share"));
        double total = answers.Sum(answer => answer.Result.Times.Total);
        foreach ((Stage stage, string name) in Stages)
        {
            double sum = answers.Sum(answer => answer.Result.Times[stage]);
            Row(name, result => Text(result.Times[stage]), total > 0 ? string.Create(CultureInfo.InvariantCulture, $"{sum / total:p1}") : "");
        }

        table.AddEmptyRow();
        Row("All stages", result => Text(result.Times.Total));
        Row("First token", result => Text(result.Times[Stage.Preprocess] + result.FirstTokenMilliseconds));
        Row("Prefill, tokens/s", result => Text(result.PrefillTokensPerSecond));
        Row("Decode, tokens/s", result => Text(result.DecodeTokensPerSecond));
        console.Write(table);

        void Row(string name, Func<GenerationResult, string> value, string share = "") =>
            table.AddRow([name, .. answers.Select(answer => value(answer.Result)), share]);
    }

    private static TableColumn Right(string header) => new TableColumn(header).RightAligned();

    private static string Text(double value) => value.ToString("f1", CultureInfo.InvariantCulture);
}
