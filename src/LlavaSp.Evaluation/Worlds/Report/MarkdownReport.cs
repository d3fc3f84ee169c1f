using System.Text;
using LlavaSp.Worlds.Questions;

namespace LlavaSp.Evaluation.Worlds.Report;

/// <summary>The evaluation as a document: tables, sentences that follow from the numbers, links to the plots.</summary>
public static class MarkdownReport
{
    /// <summary>Writes it.</summary>
    /// <param name="evaluation">What was measured.</param>
    /// <param name="plots">Names of the plots' files, by what they show.</param>
    public static string Of(WorldEvaluation evaluation, IReadOnlyDictionary<PlotKind, string> plots)
    {
        ArgumentNullException.ThrowIfNull(evaluation);
        ArgumentNullException.ThrowIfNull(plots);
        var text = new StringBuilder();
        Introduction(text, evaluation);
        Bars(text, evaluation);
        Accuracy(text, evaluation);
        Link(text, plots, PlotKind.Accuracy, "Accuracy by family and variant, with intervals");
        if (evaluation.VariantDifferences.Count > 0) Differences(text, evaluation);
        HeldOut(text, evaluation);
        if (evaluation.FormatDifferences.Count > 0)
        {
            Formats(text, evaluation);
            Link(text, plots, PlotKind.Formats, "Accuracy by weight format and variant, with intervals");
        }

        if (evaluation.DeviceDifferences.Count > 0) Devices(text, evaluation);
        if (evaluation.Latencies.Count > 0) LatencySection.Write(text, evaluation.Latencies);
        Link(text, plots, PlotKind.Latency, "Stages before the first token");
        return $"{text.ToString().TrimEnd()}\n";
    }

    private static void Introduction(StringBuilder text, WorldEvaluation evaluation)
    {
        SceneScores scores = evaluation.Runs[0].Scores;
        text.Append(ReportText.Text($"""
            # Evaluation of the demo models

            Written by `{evaluation.Setting.Command}` on {evaluation.Setting.Device}.
            {scores.Scenes} test scenes of the [small world](world.md), {scores.Questions} questions, greedy answers, right or wrong by `Grader`.

            These numbers are about drawn scenes of a few shapes and a vocabulary of a few hundred words, and about models small enough to be trained on one machine.
            They say what the spatial tokens and the weight formats do there; they say nothing about natural pictures or the published 7B models.

            Brackets are 95 % intervals of a bootstrap over scenes ({Bootstrap.Samples} samples, fixed seed): questions about one scene are not independent. Differences are
            paired, both sides answering the same questions in every sample. They tell chance in the choice of scenes, not chance in training: each variant was trained once.


            """));
    }

    private static void Bars(StringBuilder text, WorldEvaluation evaluation)
    {
        text.Append("## Bars\n\n");
        text.Table(["", "bar", "measured", ""], evaluation.Bars.Select(static bar =>
        {
            (string target, string measured, string verdict) = ReportText.Bar(bar);
            return (string[])[bar.Name, target, measured, verdict];
        }));
    }

    private static void Accuracy(StringBuilder text, WorldEvaluation evaluation)
    {
        IReadOnlyList<WorldRun> runs = evaluation.BaseRuns;
        text.Append($"## Accuracy by family\n\nPer cent, weights {evaluation.BaseFormat}.\n\n");
        SceneScores scores = runs[0].Scores;
        text.Table(
            ["family", "questions", .. runs.Select(static run => run.Variant)],
            [
                .. evaluation.Families.Select(family => (string[])
                    [ReportText.Name(family), ReportText.Text($"{scores.QuestionsOf(family)}"), .. runs.Select(run => ReportText.Percent(run.Families[family]))]),
                ["**mean of the families**", "", .. runs.Select(static run => $"**{ReportText.Percent(run.Mean)}**")],
                ["all questions", ReportText.Text($"{scores.Questions}"), .. runs.Select(static run => ReportText.Percent(run.AllQuestions))],
            ]);
    }

    private static void Differences(StringBuilder text, WorldEvaluation evaluation)
    {
        IReadOnlyList<VariantDifference> differences = evaluation.VariantDifferences;
        text.Append($"## What the spatial tokens change\n\nPoints, less the model without them, weights {evaluation.BaseFormat}.\n\n");
        text.Table(
            ["family", .. differences.Select(static difference => difference.Variant)],
            [
                .. evaluation.Families.Select(family => (string[])
                    [ReportText.Name(family), .. differences.Select(difference => ReportText.Points(difference.Families[family]))]),
                ["**mean of the families**", .. differences.Select(static difference => $"**{ReportText.Points(difference.Mean)}**")],
            ]);
        foreach (VariantDifference difference in differences) text.Append($"- {Sentences.Of(difference, evaluation.Runs[0].Scores.Scenes)}\n");
        int intervals = differences.Count * evaluation.Families.Count;
        text.Append(ReportText.Text(
            $"\nOf {intervals} intervals of 95 % by family, {intervals * 0.05:f1} would leave out 0 by chance alone if the tokens changed nothing.\n\n"));
    }

    private static void HeldOut(StringBuilder text, WorldEvaluation evaluation)
    {
        HeldOutDifference[] differences = [.. evaluation.HeldOut.Where(static difference => difference.Families.Count > 0)];
        text.Append("## Combinations that training never showed\n\n");
        if (differences.Length == 0)
        {
            text.Append("These scenes have no family with questions about such combinations and about others.\n\n");
            return;
        }

        HeldOutDifference first = differences[0];
        text.Append(ReportText.Text(
            $"{first.HeldOut.Questions} questions name, or are about, a combination of colour and shape that training never shows; {first.Others.Questions} are not. "));
        text.Append($"Means of the families that have both ({string.Join(", ", first.Families.Select(ReportText.Name))}), per cent, and their difference in points.\n\n");
        text.Table(
            ["variant", "never shown", "others", "difference"],
            differences.Select(static difference => (string[])
            [
                difference.Run.Variant, ReportText.Percent(difference.HeldOut.Mean(difference.Families)),
                ReportText.Percent(difference.Others.Mean(difference.Families)), ReportText.Points(difference.Difference),
            ]));
    }

    private static void Formats(StringBuilder text, WorldEvaluation evaluation)
    {
        text.Append($"## Weight formats\n\nMean of the families in per cent; beside it the difference to {evaluation.BaseFormat} in points, and the share of answers in the same words.\n\n");
        text.Table(
            ["variant", "format", "accuracy", $"less {evaluation.BaseFormat}", "same answers"],
            evaluation.Runs.Select(run =>
            {
                FormatDifference? difference = evaluation.FormatDifferences.FirstOrDefault(candidate => candidate.Run == run);
                return (string[])
                [
                    run.Variant, run.Format, ReportText.Percent(run.Mean), difference is null ? "" : ReportText.Points(difference.Mean),
                    difference is null ? "" : $"{ReportText.Percent(difference.Identical)} %",
                ];
            }));
    }

    private static void Devices(StringBuilder text, WorldEvaluation evaluation)
    {
        string first = evaluation.Runs[0].Device;
        text.Append(ReportText.Text(
            $"## Devices\n\nThe first {evaluation.Setting.DeviceScenes} scenes on further devices and, of the same scenes, on {first}: mean of the families in per cent.\n\n"));
        text.Table(
            ["device", "variant", "format", "accuracy", $"on {first}", "difference", $"same answers as {first}", $"same answers as {evaluation.BaseFormat} on the device"],
            evaluation.DeviceDifferences.Select(difference => (string[])
            [
                difference.Run.Device, difference.Run.Variant, difference.Run.Format, ReportText.Percent(difference.Run.Mean),
                ReportText.Percent(difference.First.Mean), ReportText.Points(difference.Mean), $"{ReportText.Percent(difference.Identical)} %",
                difference.IdenticalToBase is { } identical ? $"{ReportText.Percent(identical)} %" : "",
            ]));
    }

    private static void Link(StringBuilder text, IReadOnlyDictionary<PlotKind, string> plots, PlotKind kind, string caption)
    {
        if (plots.TryGetValue(kind, out string? file)) text.Append($"![{caption}]({file})\n\n");
    }
}
