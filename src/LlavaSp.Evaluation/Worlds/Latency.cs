namespace LlavaSp.Evaluation.Worlds;

/// <summary>Milliseconds of one first token, and of the stages before it.</summary>
/// <param name="Total">From the request to the token.</param>
/// <param name="Vision">Vision tower.</param>
/// <param name="SpatialTokens">Spatial tokens.</param>
/// <param name="Projector">Projector.</param>
/// <param name="Prefill">The prompt through the decoder.</param>
public sealed record FirstToken(double Total, double Vision, double SpatialTokens, double Projector, double Prefill);

/// <summary>First tokens of one variant, one in each round.</summary>
/// <param name="Variant">none, pooling or cropping.</param>
/// <param name="Rounds">In the order of the rounds, which all variants share.</param>
public sealed record VariantLatency(string Variant, IReadOnlyList<FirstToken> Rounds)
{
    /// <summary>Median milliseconds of the whole, or of a stage.</summary>
    public double Median(Func<FirstToken, double> part) => Bootstrap.Median(Rounds.Select(part));
}

/// <summary>Time to first token of the variants, which took turns in each round, so that a change of the machine's mood meets all.</summary>
/// <param name="Shape">Size of the models.</param>
/// <param name="Published">Whether that is the whole published 7B shape on the CPU, for which the bar is set.</param>
/// <param name="Weights">Formats of the weights, in words.</param>
/// <param name="Variants">The variants.</param>
public sealed record LatencyStudy(string Shape, bool Published, string Weights, IReadOnlyList<VariantLatency> Variants)
{
    /// <summary>The variant that the others are held against.</summary>
    public const string Baseline = "none";

    /// <summary>Rounds that count.</summary>
    public int Rounds => Variants[0].Rounds.Count;

    /// <summary>Median time of a variant over that of <see cref="Baseline"/>, with an interval over rounds; null for the latter, and where it was not measured.</summary>
    public Interval? RatioOf(VariantLatency variant)
    {
        ArgumentNullException.ThrowIfNull(variant);
        if (variant.Variant == Baseline || Variants.FirstOrDefault(static candidate => candidate.Variant == Baseline) is not { } none) return null;
        return Bootstrap.Estimate(Rounds, sample => MedianOf(variant, sample) / MedianOf(none, sample));
    }

    private static double MedianOf(VariantLatency variant, ReadOnlySpan<int> sample)
    {
        var times = new double[sample.Length];
        for (int i = 0; i < times.Length; i++) times[i] = variant.Rounds[sample[i]].Total;
        return Bootstrap.Median(times);
    }
}
