using LlavaSp.Backends;

namespace LlavaSp.Benchmarks;

/// <summary>A matrix of uniform random numbers in [-1, 1): values do not change the time.</summary>
internal sealed class RandomMatrix(long rows, long columns, int seed) : WeightSource
{
    public override string Name => "random";

    public override long Rows => rows;

    public override long Columns => columns;

    public override void ReadRows(long first, int count, Span<float> destination) => Fill(destination, (uint)(seed * 1_000_003 + first));

    /// <summary>Fills a span; a generator of its own, because loading gigabytes would take minutes with a better one.</summary>
    public static void Fill(Span<float> values, uint seed)
    {
        uint state = seed * 2654435761 + 1;
        for (int i = 0; i < values.Length; i++)
        {
            state = state * 1664525 + 1013904223;
            values[i] = (int)state / 2147483648f;
        }
    }
}
