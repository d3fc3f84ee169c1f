using LlavaSp.Evaluation.Worlds;

namespace LlavaSp.Tests.Evaluation;

/// <summary>Intervals whose ends are known.</summary>
public sealed class BootstrapTests
{
    [Fact]
    public void TwoUnitsGiveTheirEnds()
    {
        // Means of two draws of {0, 1}: 0 and 1 in a quarter of the samples each.
        Assert.Equal(new Interval(0.5, 0, 1), Bootstrap.Estimate(2, static sample => (sample[0] + sample[1]) / 2.0));
    }

    [Fact]
    public void NothingVariesInOneUnitOrAConstant()
    {
        Assert.Equal(new Interval(7, 7, 7), Bootstrap.Estimate(1, static sample => sample[0] + 7));
        Assert.Equal(new Interval(3, 3, 3), Bootstrap.Estimate(50, static _ => 3));
    }

    [Fact]
    public void TheIntervalOfAMeanIsThatOfTheNormalDistribution()
    {
        const int Units = 400;
        Interval interval = Bootstrap.Estimate(Units, static sample =>
        {
            double sum = 0;
            foreach (int unit in sample) sum += unit % 2;
            return sum / sample.Length;
        });
        double half = 1.96 * Math.Sqrt(0.25 / Units);
        Assert.Equal(0.5, interval.Value);
        Assert.Equal(0.5 - half, interval.Low, 0.005);
        Assert.Equal(0.5 + half, interval.High, 0.005);
    }

    [Fact]
    public void ResultsRepeat()
    {
        static double First(ReadOnlySpan<int> sample) => sample[0];
        Assert.Equal(Bootstrap.Estimate(100, First), Bootstrap.Estimate(100, First));
    }

    [Fact]
    public void SamplesWithoutTheStatisticDoNotCount()
    {
        Interval interval = Bootstrap.Estimate(4, static sample => sample.Contains(0) ? 1 : double.NaN);
        Assert.Equal(new Interval(1, 1, 1), interval);
        Assert.True(double.IsNaN(Bootstrap.Estimate(4, static _ => double.NaN).Low));
    }

    [Fact]
    public void MediansAreThoseOfTheSortedValues()
    {
        Assert.Equal(3, Bootstrap.Median([9, 1, 3]));
        Assert.Equal(2, Bootstrap.Median([3, 1]));
        Assert.True(double.IsNaN(Bootstrap.Median([])));
    }

    [Fact]
    public void NoUnitsAreRefused() => Assert.Throws<ArgumentOutOfRangeException>(static () => Bootstrap.Estimate(0, static _ => 0));
}
