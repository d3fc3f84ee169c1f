using LlavaSp.Worlds;

namespace LlavaSp.Evaluation.Worlds;

/// <summary>A statistic of a sample: indices of units, each as often as it was drawn; NaN where the sample does not have it.</summary>
public delegate double SampleStatistic(ReadOnlySpan<int> sample);

/// <summary>
/// Percentile bootstrap over whole units (scenes, rounds of a measurement), since what belongs to one unit is not independent. The seed is fixed: the same
/// data give the same interval, and two statistics of the same number of units see the same samples, which makes differences between runs paired.
/// </summary>
public static class Bootstrap
{
    /// <summary>Samples that are drawn.</summary>
    public const int Samples = 2000;

    private const double Tail = 0.025;

    private const ulong Seed = 2507, Stream = 0xB007;

    /// <summary>The statistic of all units, and the 2.5 and 97.5 percentiles of those of the samples that have it.</summary>
    public static Interval Estimate(int units, SampleStatistic statistic)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(units, 1);
        ArgumentNullException.ThrowIfNull(statistic);
        int[] sample = [.. Enumerable.Range(0, units)];
        double value = statistic(sample);
        var random = new WorldRandom(Seed, Stream);
        var drawn = new List<double>(Samples);
        for (int i = 0; i < Samples; i++)
        {
            for (int unit = 0; unit < units; unit++) sample[unit] = random.Next(units);
            double one = statistic(sample);
            if (!double.IsNaN(one)) drawn.Add(one);
        }

        drawn.Sort();
        return new Interval(value, Percentile(drawn, Tail), Percentile(drawn, 1 - Tail));
    }

    /// <summary>The median; NaN of nothing.</summary>
    public static double Median(IEnumerable<double> values)
    {
        ArgumentNullException.ThrowIfNull(values);
        return Percentile([.. values.Order()], 0.5);
    }

    // Between two values where the rank is, as numpy's default has it.
    private static double Percentile(List<double> sorted, double share)
    {
        if (sorted.Count == 0) return double.NaN;
        double rank = share * (sorted.Count - 1);
        int below = (int)rank, above = Math.Min(below + 1, sorted.Count - 1);
        return sorted[below] + ((rank - below) * (sorted[above] - sorted[below]));
    }
}
