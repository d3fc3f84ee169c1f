namespace LlavaSp.Evaluation.Worlds.Report;

/// <summary>What a plot shows.</summary>
public enum PlotKind
{
    /// <summary>Accuracy by family and variant.</summary>
    Accuracy,

    /// <summary>Accuracy by weight format and variant.</summary>
    Formats,

    /// <summary>Stages before the first token, by variant.</summary>
    Latency,
}

/// <summary>The plots of an evaluation, as SVG.</summary>
public static class Plots
{
    private static readonly (string Name, Func<FirstToken, double> Part)[] Stages =
    [
        ("vision", static token => token.Vision), ("spatial tokens", static token => token.SpatialTokens), ("projector", static token => token.Projector),
        ("prefill", static token => token.Prefill),
    ];

    /// <summary>The plots that the evaluation has something for.</summary>
    public static IReadOnlyDictionary<PlotKind, string> Of(WorldEvaluation evaluation)
    {
        ArgumentNullException.ThrowIfNull(evaluation);
        var plots = new Dictionary<PlotKind, string> { [PlotKind.Accuracy] = Accuracy(evaluation) };
        if (evaluation.FormatDifferences.Count > 0) plots[PlotKind.Formats] = Formats(evaluation);
        // Of the studies the one at the published shape, which is the last.
        if (evaluation.Latencies.Count > 0) plots[PlotKind.Latency] = Latency(evaluation.Latencies[^1]);
        return plots;
    }

    private static string Accuracy(WorldEvaluation evaluation)
    {
        var chart = new BarChart(
            $"Accuracy on {evaluation.BaseRuns[0].Scores.Scenes} test scenes, weights {evaluation.BaseFormat}", "per cent",
            [.. evaluation.Families.Select(ReportText.Name), "mean"]);
        foreach (WorldRun run in evaluation.BaseRuns)
            chart.AddBeside(run.Variant, [.. evaluation.Families.Select(family => Percent(run.Families[family])), Percent(run.Mean)]);
        return chart.Svg(limit: 100);
    }

    private static string Formats(WorldEvaluation evaluation)
    {
        var chart = new BarChart($"Mean accuracy of the families on {evaluation.BaseRuns[0].Scores.Scenes} test scenes", "per cent", evaluation.Formats);
        foreach (string variant in evaluation.Variants)
            chart.AddBeside(variant, [.. evaluation.Runs.Where(run => run.Variant == variant).Select(static run => Percent(run.Mean))]);
        return chart.Svg(limit: 100);
    }

    private static string Latency(LatencyStudy study)
    {
        var chart = new BarChart($"Stages before the first token, {study.Shape}", "ms", [.. study.Variants.Select(static variant => variant.Variant)]);
        foreach ((string name, Func<FirstToken, double> part) in Stages) chart.AddOnTop(name, [.. study.Variants.Select(variant => variant.Median(part))]);
        return chart.Svg();
    }

    private static Interval Percent(Interval share) => new(100 * share.Value, 100 * share.Low, 100 * share.High);
}
