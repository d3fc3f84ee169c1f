using System.Xml.Linq;
using LlavaSp.Evaluation.Worlds;
using LlavaSp.Evaluation.Worlds.Report;
using LlavaSp.Worlds.Questions;

namespace LlavaSp.Tests.Evaluation;

/// <summary>What follows from runs made by hand: differences, bars, the document, the plots.</summary>
public sealed class WorldEvaluationTests
{
    private static readonly EvaluationSetting Setting = new("llava-sp eval demo", "cpu (avx2, 2 threads)", 5);

    private static readonly WorldRun[] Runs =
    [
        WorldOutcomes.Run("none", "f32", 8), WorldOutcomes.Run("none", "int8:128", 8), WorldOutcomes.Run("none", "int4:64", 8),
        WorldOutcomes.Run("pooling", "f32", 10), WorldOutcomes.Run("pooling", "int8:128", 9), WorldOutcomes.Run("pooling", "int4:64", 10, answer: "Yes."),
        WorldOutcomes.Run("cropping", "f32", 7), WorldOutcomes.Run("cropping", "int8:128", 7), WorldOutcomes.Run("cropping", "int4:64", 7),
    ];

    private static readonly LatencyStudy Published = Study(true, 100, 102, 104);

    private static readonly WorldEvaluation Evaluation = new(
        Setting, Runs,
        [WorldOutcomes.Run("pooling", "f32", 10, device: "reference", scenes: 5), WorldOutcomes.Run("pooling", "int8:128", 9, device: "reference", scenes: 5)],
        [Study(false, 10, 10, 10), Published]);

    [Fact]
    public void DifferencesArePaired()
    {
        VariantDifference pooling = Evaluation.VariantDifferences.Single(difference => difference.Variant == "pooling");
        // Existence 1 less 0.8, counting 1 less 1; every scene is alike.
        Assert.Equal(0.1, pooling.Mean.Value, 12);
        Assert.Equal(0.2, pooling.Families[QuestionFamily.Existence].Value, 12);
        Assert.Equal(default, pooling.Families[QuestionFamily.Counting]);
        Assert.Equal(6, Evaluation.FormatDifferences.Count);
        FormatDifference int8 = Evaluation.FormatDifferences.Single(difference => difference.Run == Runs[4]);
        Assert.Equal(-0.05, int8.Mean.Value, 12);
        Assert.Equal(11.0 / 12, int8.Identical, 12);
        FormatDifference int4 = Evaluation.FormatDifferences.Single(difference => difference.Run == Runs[5]);
        Assert.Equal((0, 0), (int4.Mean.Value, int4.Identical));
    }

    [Fact]
    public void DevicesAreComparedOnTheScenesOfBoth()
    {
        Assert.All(Evaluation.DeviceDifferences, static difference =>
        {
            Assert.Equal(5, difference.First.Scores.Scenes);
            Assert.Equal("cpu", difference.First.Device);
            Assert.Equal((default, 1), (difference.Mean, difference.Identical));
        });
        Assert.Equal([null, 11.0 / 12], Evaluation.DeviceDifferences.Select(static difference => difference.IdenticalToBase));
    }

    [Fact]
    public void BarsSayWhoWasMeasuredAndWhetherItIsEnough()
    {
        Assert.Equal(["pooling", "pooling", "pooling", "none", "cropping"], Evaluation.Bars.Select(static bar => bar.Of));
        Assert.Equal([true, true, false, true, false], Evaluation.Bars.Select(static bar => bar.IsMet));
        Assert.Equal([1, 1, 0.05, 0, 1.04], Evaluation.Bars.Select(static bar => Math.Round(bar.Measured!.Value, 12)));
    }

    [Fact]
    public void AtTheBarIsMet()
    {
        static bool? Met(bool atLeast, double target, double measured) => new EvaluationBar("", BarUnit.Share, atLeast, target, measured, "").IsMet;
        // 0.93 less 0.925 is a little more than 0.005 in double.
        Assert.True(Met(false, 0.005, 0.93 - 0.925));
        Assert.True(Met(true, 0.9, 0.9));
        Assert.False(Met(true, 0.9, 0.8999));
        Assert.False(Met(false, 1.03, 1.0301));
    }

    [Fact]
    public void WhatWasNotMeasuredIsNotMet()
    {
        var evaluation = new WorldEvaluation(Setting, [WorldOutcomes.Run("none", "f16", 8)], [], [Study(false, 10, 10, 10)]);
        Assert.All(evaluation.Bars, static bar => Assert.Null(bar.IsMet));
        Assert.Equal("f16", evaluation.BaseFormat);
        string document = MarkdownReport.Of(evaluation, new Dictionary<PlotKind, string>());
        Assert.Equal(5, document.Split("not measured").Length - 1);
        Assert.DoesNotContain("NaN", document, StringComparison.Ordinal);
        Assert.DoesNotContain("![", document, StringComparison.Ordinal);
    }

    [Fact]
    public void SentencesFollowTheIntervals()
    {
        Assert.Equal(
            "Pooling helps by 10.00 points (10.00 to 10.00) over all families. By family, it helps in existence (+20.00); it costs in none that can be shown.",
            Sentences.Of(Evaluation.VariantDifferences[0], 20));
        Assert.StartsWith("Cropping costs 5.00 points (5.00 to 5.00) over all families.", Sentences.Of(Evaluation.VariantDifferences[1], 20), StringComparison.Ordinal);
        Assert.StartsWith(
            "Pooling makes no difference over all families that 20 scenes can show.",
            Sentences.Of(new VariantDifference("pooling", new Interval(0.01, -0.01, 0.03), new Dictionary<QuestionFamily, Interval>()), 20), StringComparison.Ordinal);
    }

    [Fact]
    public void NumbersAreWrittenAlikeEverywhere()
    {
        Assert.Equal("93.4 (92.1 to 94.6)", ReportText.Percent(new Interval(0.9337, 0.9213, 0.946)));
        Assert.Equal("+1.25 (-0.50 to +3.00)", ReportText.Points(new Interval(0.0125, -0.005, 0.03)));
        Assert.Equal("0.00", ReportText.Points(-1e-9));
        Assert.Equal("1.013 (1.010 to 1.018)", ReportText.Ratio(new Interval(1.0131, 1.0099, 1.018)));
        Assert.Equal("-", ReportText.Percent(double.NaN));
        Assert.Equal(("3.14", "1235"), (ReportText.Milliseconds(3.14159), ReportText.Milliseconds(1234.6)));
    }

    [Fact]
    public void TheDocumentHasEveryPart()
    {
        string document = MarkdownReport.Of(Evaluation, new Dictionary<PlotKind, string> { [PlotKind.Formats] = "e-formats.svg" });
        foreach (string part in (string[])
        [
            "Written by `llava-sp eval demo` on cpu (avx2, 2 threads).", "20 test scenes", "240 questions", "| at most 0.50 points | 5.00 points (pooling) | missed |",
            "| existence | 200 | 80.0 (80.0 to 80.0) | 100.0 (100.0 to 100.0) | 70.0 (70.0 to 70.0) |", "| **mean of the families** |",
            "| pooling | int8:128 | 95.0 (95.0 to 95.0) | -5.00 (-5.00 to -5.00) | 91.7 % |", "](e-formats.svg)", "## Devices", "the first 5 scenes",
            "| pooling | 102 | 1.020 (1.020 to 1.020) |", "no family with questions about such combinations",
        ]) Assert.Contains(part, document, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("\n\n\n", document, StringComparison.Ordinal);
        Assert.DoesNotContain("NaN", document, StringComparison.Ordinal);
    }

    [Fact]
    public void HeldOutCombinationsStandBesideTheOthers()
    {
        WorldRun run = new("none", "f32", "cpu", [.. Enumerable.Range(0, 10).SelectMany(static scene =>
            WorldOutcomes.Of(scene, QuestionFamily.Existence, "Rw", heldOut: true).Concat(WorldOutcomes.Of(scene, QuestionFamily.Existence, "RRRw")))]);
        var evaluation = new WorldEvaluation(Setting, [run], [], []);
        Assert.Equal(-0.25, Assert.Single(evaluation.HeldOut).Difference.Value, 12);
        Assert.Contains(
            "| none | 50.0 (50.0 to 50.0) | 75.0 (75.0 to 75.0) | -25.00 (-25.00 to -25.00) |",
            MarkdownReport.Of(evaluation, new Dictionary<PlotKind, string>()), StringComparison.Ordinal);
    }

    [Fact]
    public void RatiosAreOfMedians()
    {
        Assert.Equal(1.02, Published.RatioOf(Published.Variants[1])!.Value.Value, 12);
        LatencyStudy without = Published with { Variants = [.. Published.Variants.Skip(1)] };
        Assert.Null(without.RatioOf(without.Variants[0]));
    }

    [Fact]
    public void PlotsAreDrawings()
    {
        IReadOnlyDictionary<PlotKind, string> plots = Plots.Of(Evaluation);
        Assert.Equal(3, plots.Count);
        foreach (string svg in plots.Values)
        {
            XElement drawing = XDocument.Parse(svg).Root!;
            Assert.Equal("svg", drawing.Name.LocalName);
            Assert.True(drawing.Descendants().Count(static element => element.Name.LocalName is "rect" or "polygon") >= 6);
            Assert.DoesNotContain("NaN", svg, StringComparison.Ordinal);
        }

        Assert.Contains("existence", plots[PlotKind.Accuracy], StringComparison.Ordinal);
        Assert.Contains("cropping", plots[PlotKind.Accuracy], StringComparison.Ordinal);
        Assert.Contains("int4:64", plots[PlotKind.Formats], StringComparison.Ordinal);
        Assert.Contains("spatial tokens", plots[PlotKind.Latency], StringComparison.Ordinal);
        Assert.Equal(plots[PlotKind.Accuracy], Plots.Of(Evaluation)[PlotKind.Accuracy]);
    }

    private static LatencyStudy Study(bool published, params double[] totals) => new(
        published ? "7B" : "demo", published, "int4:64",
        [
            .. ((string[])["none", "pooling", "cropping"]).Zip(totals, static (variant, total) =>
                new VariantLatency(variant, [.. Enumerable.Repeat(new FirstToken(total, total / 2, 1, 2, total / 4), 5)])),
        ]);
}
