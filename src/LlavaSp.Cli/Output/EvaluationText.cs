using LlavaSp.Evaluation.Worlds;
using LlavaSp.Evaluation.Worlds.Report;

namespace LlavaSp.Cli.Output;

/// <summary>The evaluation of the demo models in short, for the terminal; all of it is in the document and in JSON.</summary>
internal static class EvaluationText
{
    /// <summary>Accuracy by variant and format, times to first token, bars.</summary>
    public static void Write(WorldEvaluation evaluation, string? document)
    {
        TextWriter output = Console.Out;
        SceneScores scores = evaluation.Runs[0].Scores;
        output.WriteLine($"{scores.Scenes} test scenes, {scores.Questions} questions on {evaluation.Setting.Device}; accuracy in per cent, mean of the families:");
        Columns.Write(output, ["variant", .. evaluation.Formats],
        [
            .. evaluation.Variants.Select(variant => (string[])
                [variant, .. evaluation.Runs.Where(run => run.Variant == variant).Select(static run => ReportText.Percent(run.Mean))]),
        ]);
        if (evaluation.DeviceDifferences.Count > 0)
        {
            output.WriteLine();
            Columns.Write(output, ["device", "variant", "format", "accuracy", $"same answers as {evaluation.Runs[0].Device}"],
            [
                .. evaluation.DeviceDifferences.Select(static difference => (string[])
                [
                    difference.Run.Device, difference.Run.Variant, difference.Run.Format, ReportText.Percent(difference.Run.Mean),
                    $"{ReportText.Percent(difference.Identical)} %",
                ]),
            ]);
        }

        foreach (LatencyStudy study in evaluation.Latencies)
        {
            output.WriteLine();
            Columns.Write(output, [$"first token, {study.Shape}", "ms", $"over {LatencyStudy.Baseline}"],
            [
                .. study.Variants.Select(variant => (string[])
                [
                    variant.Variant, ReportText.Milliseconds(variant.Median(static token => token.Total)),
                    study.RatioOf(variant) is { } ratio ? ReportText.Ratio(ratio) : "",
                ]),
            ]);
        }

        output.WriteLine();
        Columns.Write(output, ["bar", "", "measured", ""],
        [
            .. evaluation.Bars.Select(static bar =>
            {
                (string target, string measured, string verdict) = ReportText.Bar(bar);
                return (string[])[bar.Name, target, measured, verdict];
            }),
        ]);
        if (document is not null) output.WriteLine($"{Environment.NewLine}{document}: written, its plots beside it");
    }
}
