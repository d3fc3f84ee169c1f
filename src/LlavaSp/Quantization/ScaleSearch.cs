using System.Runtime.Intrinsics;

namespace LlavaSp.Quantization;

/// <summary>
/// The scale of a group of 4-bit integers. Of a few multiples of extreme / -8 and extreme / 7, each corrected to the least-squares scale of the integers that it
/// gives, the one that leaves the smallest squared error. Sums are kept in eight lanes on every machine, so that a checkpoint's integers do not depend on where it
/// was quantised.
/// </summary>
internal static class ScaleSearch
{
    /// <summary>Integers, before rounding and clamping, that the element of largest magnitude becomes; the first is the plain scale's.</summary>
    private static readonly float[] ExtremeSteps =
    [
        -8, -9.5f, -9.25f, -9, -8.75f, -8.5f, -8.25f, -7.75f, -7.5f, -7.25f, -7, -6.75f, -6.5f, 6.5f, 6.75f, 7, 7.25f, 7.5f, 7.75f, 8,
    ];

    // Scales below are subnormal as halves, too coarse for a search.
    private const float SmallestNormalHalf = 6.103515625e-05f;

    // Adding it leaves the nearest integer, ties to even, in the low bits of the sum; taking it off again leaves that integer.
    private const float IntegerShift = 3 << 22;

    private const int Lanes = 8;

    /// <summary>The scale, not yet rounded to a half.</summary>
    /// <param name="group">Finite elements that share it, at most 128.</param>
    /// <param name="extreme">Their first element of largest magnitude.</param>
    public static float Find(ReadOnlySpan<float> group, float extreme)
    {
        float plain = extreme / -8;
        if (!(MathF.Abs(plain) >= SmallestNormalHalf)) return plain;

        // Elements relative to the extreme, filled up with zeros, which add nothing.
        Span<float> relative = stackalloc float[128];
        int filled = (group.Length + Lanes - 1) / Lanes * Lanes;
        relative = relative[..filled];
        relative[group.Length..].Clear();
        for (int i = 0; i < group.Length; i++) relative[i] = group[i] / extreme;

        float most = 0, best = plain / extreme;
        foreach (float steps in ExtremeSteps)
        {
            (float product, float square) = Sums(relative, steps);
            // The squared error of the least-squares scale is the sum of x^2 less this.
            float explained = product * product / square;
            if (explained > most) (most, best) = (explained, product / square);
        }

        float found = best * extreme;
        return Half.IsFinite((Half)found) ? found : plain;
    }

    /// <summary>Sums of x q and q^2 over a group with q = x * steps as a 4-bit integer.</summary>
    /// <param name="x">A multiple of eight elements of magnitude at most 1.</param>
    /// <param name="steps">Of one.</param>
    private static (float Product, float Square) Sums(ReadOnlySpan<float> x, float steps)
    {
        Vector256<float> products = Vector256<float>.Zero, squares = Vector256<float>.Zero, shift = Vector256.Create(IntegerShift);
        for (int i = 0; i < x.Length; i += Lanes)
        {
            Vector256<float> element = Vector256.Create(x.Slice(i, Lanes));
            Vector256<float> q = element * steps + shift - shift;
            q = Vector256.MinNative(Vector256.MaxNative(q, Vector256.Create(-8f)), Vector256.Create(7f));
            products += element * q;
            squares += q * q;
        }

        return (Total(products), Total(squares));
    }

    private static float Total(Vector256<float> lanes)
    {
        Vector128<float> half = lanes.GetLower() + lanes.GetUpper();
        return half[0] + half[2] + (half[1] + half[3]);
    }
}
