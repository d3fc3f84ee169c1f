using LlavaSp.Worlds.Questions;

namespace LlavaSp.Evaluation.Worlds;

/// <summary>Something that was to be reached.</summary>
/// <param name="Name">What is measured.</param>
/// <param name="Unit">What the numbers are.</param>
/// <param name="AtLeast">Whether the measured number must not be below the target; else not above.</param>
/// <param name="Target">The target.</param>
/// <param name="Measured">The number; null where it was not measured.</param>
/// <param name="Of">Whose number it is.</param>
public sealed record EvaluationBar(string Name, BarUnit Unit, bool AtLeast, double Target, double? Measured, string Of)
{
    // Differences of shares carry rounding errors of double; no share of fewer than 10^8 questions is nearer to a target than this.
    private const double Rounding = 1e-9;

    /// <summary>Whether it was reached; null where it was not measured.</summary>
    public bool? IsMet => Measured is not { } measured ? null : AtLeast ? measured >= Target - Rounding : measured <= Target + Rounding;
}

/// <summary>What a bar's numbers are.</summary>
public enum BarUnit
{
    /// <summary>Shares from 0 to 1, shown in per cent.</summary>
    Share,

    /// <summary>Differences of shares, shown in points.</summary>
    Points,

    /// <summary>Ratios.</summary>
    Ratio,
}

/// <summary>The bars of the demo models.</summary>
internal static class EvaluationBars
{
    private const double Accuracy = 0.90, Existence = 0.95, Int8Loss = 0.005, Int4Loss = 0.02, Ratio = 1.03;

    public static IReadOnlyList<EvaluationBar> Of(WorldEvaluation evaluation)
    {
        // Float32 sets the accuracy; another base format says nothing about it, nor about what integers lose.
        bool exact = evaluation.BaseFormat == WorldEvaluation.Exact;
        WorldRun? best = exact ? evaluation.BaseRuns.Where(static run => run.Variant != WorldEvaluation.Baseline).MaxBy(static run => run.Mean.Value) : null;
        double? existence = best?.Families.TryGetValue(QuestionFamily.Existence, out Interval value) == true ? value.Value : null;
        return
        [
            new EvaluationBar("accuracy, mean of the families, the better of pooling and cropping", BarUnit.Share, true, Accuracy, best?.Mean.Value, best?.Variant ?? ""),
            new EvaluationBar("accuracy, existence, the same model", BarUnit.Share, true, Existence, existence, best?.Variant ?? ""),
            Loss("int8", Int8Loss), Loss("int4", Int4Loss), Latency(),
        ];

        EvaluationBar Loss(string kind, double target)
        {
            FormatDifference? worst = exact
                ? evaluation.FormatDifferences.Where(difference => difference.Run.Format.StartsWith(kind, StringComparison.Ordinal)).MinBy(static difference => difference.Mean.Value)
                : null;
            // 0 - x, since -x of no loss would be written as -0.
            return new EvaluationBar(
                $"accuracy that {kind} loses, the model that loses most", BarUnit.Points, false, target, 0 - worst?.Mean.Value, worst?.Run.Variant ?? "");
        }

        EvaluationBar Latency()
        {
            LatencyStudy? study = evaluation.Latencies.FirstOrDefault(static study => study.Published);
            VariantLatency? worst = study?.Variants.Where(static variant => variant.Variant != WorldEvaluation.Baseline)
                .MaxBy(variant => study.RatioOf(variant)?.Value);
            return new EvaluationBar(
                "time to first token at 7B shape on the CPU, with six tokens over without, the slower of pooling and cropping",
                BarUnit.Ratio, false, Ratio, worst is null ? null : study!.RatioOf(worst)?.Value, worst?.Variant ?? "");
        }
    }
}
