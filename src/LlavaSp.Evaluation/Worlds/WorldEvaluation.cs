using LlavaSp.Worlds.Questions;

namespace LlavaSp.Evaluation.Worlds;

/// <summary>Where and how the models were asked.</summary>
/// <param name="Command">The command, without what depends on the machine.</param>
/// <param name="Device">Device of most runs, with instruction set and threads.</param>
/// <param name="DeviceScenes">Scenes of the runs on further devices.</param>
public sealed record EvaluationSetting(string Command, string Device, int DeviceScenes);

/// <summary>A variant with spatial tokens less the one without, of the same format on the same scenes.</summary>
/// <param name="Variant">pooling or cropping.</param>
/// <param name="Mean">Difference of the means over families.</param>
/// <param name="Families">Difference of each family.</param>
public sealed record VariantDifference(string Variant, Interval Mean, IReadOnlyDictionary<QuestionFamily, Interval> Families);

/// <summary>A weight format less the base format, of the same model on the same scenes.</summary>
/// <param name="Run">The run of the format.</param>
/// <param name="Mean">Difference of the means over families.</param>
/// <param name="Identical">Share of answers in the same words.</param>
public sealed record FormatDifference(WorldRun Run, Interval Mean, double Identical);

/// <summary>A further device beside the first one, on the scenes that both were asked about.</summary>
/// <param name="Run">The run on the device.</param>
/// <param name="First">The first device's run, of these scenes.</param>
/// <param name="Mean">Difference of the means over families.</param>
/// <param name="Identical">Share of answers in the same words.</param>
/// <param name="IdenticalToBase">Share of answers that are also those of the base format on the same device; null for the base format itself.</param>
public sealed record DeviceDifference(WorldRun Run, WorldRun First, Interval Mean, double Identical, double? IdenticalToBase);

/// <summary>Questions about combinations that training never shows, beside the others.</summary>
/// <param name="Run">The run.</param>
/// <param name="HeldOut">Those questions.</param>
/// <param name="Others">The others.</param>
/// <param name="Families">Families that have both; the means are over them.</param>
/// <param name="Difference">Mean of those less mean of the others.</param>
public sealed record HeldOutDifference(
    WorldRun Run, SceneScores HeldOut, SceneScores Others, IReadOnlyList<QuestionFamily> Families, Interval Difference);

/// <summary>All that was measured of the variants, and what follows from it.</summary>
public sealed class WorldEvaluation
{
    /// <summary>The variant without spatial tokens.</summary>
    public const string Baseline = LatencyStudy.Baseline;

    /// <summary>The weight format that loses nothing.</summary>
    public const string Exact = "f32";

    /// <summary>Puts measurements together.</summary>
    /// <param name="setting">Where and how.</param>
    /// <param name="runs">Every variant in every format on the first device, on the same scenes.</param>
    /// <param name="deviceRuns">The same on further devices, on the first of these scenes.</param>
    /// <param name="latencies">Times to first token; none where they were not asked for.</param>
    public WorldEvaluation(
        EvaluationSetting setting, IReadOnlyList<WorldRun> runs, IReadOnlyList<WorldRun> deviceRuns, IReadOnlyList<LatencyStudy> latencies)
    {
        ArgumentNullException.ThrowIfNull(runs);
        Setting = setting;
        Runs = runs;
        Latencies = latencies;
        BaseRuns = [.. runs.Where(run => run.Format == BaseFormat)];
        VariantDifferences = [.. BaseRuns.Where(static run => run.Variant != Baseline).SelectMany(AgainstBaseline)];
        FormatDifferences = [.. runs.Where(run => run.Format != BaseFormat).Select(AgainstBase)];
        DeviceDifferences = [.. deviceRuns.Select(run => AgainstFirst(run, deviceRuns))];
        HeldOut = [.. BaseRuns.Select(HeldOutOf)];
        Bars = EvaluationBars.Of(this);
    }

    /// <summary>Where and how.</summary>
    public EvaluationSetting Setting { get; }

    /// <summary>Runs on the first device.</summary>
    public IReadOnlyList<WorldRun> Runs { get; }

    /// <summary>Times to first token.</summary>
    public IReadOnlyList<LatencyStudy> Latencies { get; }

    /// <summary>The format that the others are held against: float32, or the first one where that was not asked for.</summary>
    public string BaseFormat => Formats.Contains(Exact) ? Exact : Formats[0];

    /// <summary>Variants, in the order of the runs.</summary>
    public IReadOnlyList<string> Variants => [.. Runs.Select(static run => run.Variant).Distinct()];

    /// <summary>Formats, in the order of the runs.</summary>
    public IReadOnlyList<string> Formats => [.. Runs.Select(static run => run.Format).Distinct()];

    /// <summary>Families, in their order.</summary>
    public IReadOnlyList<QuestionFamily> Families => Runs[0].Scores.Families;

    /// <summary>Each variant in the base format.</summary>
    public IReadOnlyList<WorldRun> BaseRuns { get; }

    /// <summary>Variants with spatial tokens against the one without, in the base format.</summary>
    public IReadOnlyList<VariantDifference> VariantDifferences { get; }

    /// <summary>Formats against the base format.</summary>
    public IReadOnlyList<FormatDifference> FormatDifferences { get; }

    /// <summary>Further devices against the first.</summary>
    public IReadOnlyList<DeviceDifference> DeviceDifferences { get; }

    /// <summary>Held-out combinations against the others, where the scenes have both.</summary>
    public IReadOnlyList<HeldOutDifference> HeldOut { get; }

    /// <summary>What was to be reached.</summary>
    public IReadOnlyList<EvaluationBar> Bars { get; }

    private IEnumerable<VariantDifference> AgainstBaseline(WorldRun run) => BaseRuns.Where(static other => other.Variant == Baseline).Select(none =>
        new VariantDifference(
            run.Variant, run.Scores.MeanLess(none.Scores),
            run.Scores.Families.ToDictionary(family => family, family => run.Scores.FamilyLess(none.Scores, family))));

    private FormatDifference AgainstBase(WorldRun run)
    {
        WorldRun exact = BaseRuns.Single(other => other.Variant == run.Variant);
        return new FormatDifference(run, run.Scores.MeanLess(exact.Scores), run.IdenticalTo(exact));
    }

    private DeviceDifference AgainstFirst(WorldRun run, IReadOnlyList<WorldRun> deviceRuns)
    {
        WorldRun first = Runs.Single(other => other.Variant == run.Variant && other.Format == run.Format).First(run.Scores.Scenes);
        WorldRun? exact = run.Format == BaseFormat
            ? null
            : deviceRuns.Single(other => other.Variant == run.Variant && other.Device == run.Device && other.Format == BaseFormat);
        return new DeviceDifference(run, first, run.Scores.MeanLess(first.Scores), run.IdenticalTo(first), exact is null ? null : run.IdenticalTo(exact));
    }

    private static HeldOutDifference HeldOutOf(WorldRun run)
    {
        SceneScores heldOut = SceneScores.Of(run.Outcomes, static outcome => outcome.HeldOut);
        SceneScores others = SceneScores.Of(run.Outcomes, static outcome => !outcome.HeldOut);
        return new HeldOutDifference(run, heldOut, others, [.. heldOut.Families.Intersect(others.Families)], heldOut.MeanLess(others));
    }
}
