using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace LlavaSp.Quantization;

/// <summary>
/// The scale of a group of 4-bit integers. Of a few multiples of extreme / -8, each corrected to the least-squares scale of the integers that it gives, the one that
/// leaves the smallest squared error. Sums are kept in four lanes on every machine, so that a checkpoint's integers do not depend on where it was quantised.
/// </summary>
internal static unsafe class ScaleSearch
{
    // Scales below are subnormal as halves, too coarse for a search.
    private const float SmallestNormalHalf = 6.103515625e-05f;

    // Adding it leaves the nearest integer, ties to even, in the low bits of the sum; taking it off again leaves that integer.
    private const float IntegerShift = 3 << 22;

    private const int Lanes = 4, MaxGroup = 128, Low = -8, High = 7;

    /// <summary>
    /// What the element of largest magnitude becomes before it is rounded and cut; -8 is the plain scale. On normal weights these six leave 0.889, 0.898 and 0.881 of
    /// the plain scale's squared error in groups of 32, 64 and 128; fourteen more would leave 0.885, 0.895 and 0.876.
    /// </summary>
    private static ReadOnlySpan<float> ExtremeSteps => [-8, -8.25f, -8.75f, -7.75f, -7.25f, -9.25f];

    /// <summary>The scale, not yet rounded to a half.</summary>
    /// <param name="group">At most 128 finite elements that share it.</param>
    /// <param name="extreme">Their first element of largest magnitude.</param>
    public static float Find(ReadOnlySpan<float> group, float extreme)
    {
        float plain = extreme / Low;
        if (!(MathF.Abs(plain) >= SmallestNormalHalf)) return plain;
        float* products = stackalloc float[ExtremeSteps.Length], squares = stackalloc float[ExtremeSteps.Length];
        Sums(group, extreme, products, squares);
        float most = 0, best = plain;
        for (int i = 0; i < ExtremeSteps.Length; i++)
        {
            // The squared error of the least-squares scale is the sum of x^2 less this.
            float explained = products[i] * products[i] / squares[i];
            if (explained > most) (most, best) = (explained, products[i] / squares[i]);
        }

        return Half.IsFinite((Half)best) ? best : plain;
    }

    /// <summary>Sums of x q and q^2 over a group with q = x * steps / extreme as a 4-bit integer, for all of <see cref="ExtremeSteps"/>.</summary>
    private static void Sums(ReadOnlySpan<float> group, float extreme, float* products, float* squares)
    {
        // Zeros add nothing.
        float* padded = stackalloc float[MaxGroup];
        fixed (float* start = &MemoryMarshal.GetReference(group))
        {
            float* x = start;
            int count = group.Length;
            if (count % Lanes != 0)
            {
                x = padded;
                count += Lanes - (count % Lanes);
                new Span<float>(padded, count).Clear();
                group.CopyTo(new Span<float>(padded, count));
            }

            for (int i = 0; i < ExtremeSteps.Length; i += 3)
                Three(x, count, ExtremeSteps[i] / extreme, ExtremeSteps[i + 1] / extreme, ExtremeSteps[i + 2] / extreme, products + i, squares + i);
        }
    }

    // Three candidates share what is loaded, and their sums do not wait for each other.
    private static void Three(float* x, int count, float a, float b, float c, float* products, float* squares)
    {
        Vector128<float> productA = default, productB = default, productC = default, squareA = default, squareB = default, squareC = default;
        for (int i = 0; i < count; i += Lanes)
        {
            Vector128<float> element = Vector128.Load(x + i), q = Rounded(element * a);
            productA += element * q;
            squareA += q * q;
            q = Rounded(element * b);
            productB += element * q;
            squareB += q * q;
            q = Rounded(element * c);
            productC += element * q;
            squareC += q * q;
        }

        (products[0], products[1], products[2]) = (Total(productA), Total(productB), Total(productC));
        (squares[0], squares[1], squares[2]) = (Total(squareA), Total(squareB), Total(squareC));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Rounded(Vector128<float> scaled)
    {
        Vector128<float> q = scaled + Vector128.Create(IntegerShift) - Vector128.Create(IntegerShift);
        return Vector128.MinNative(Vector128.MaxNative(q, Vector128.Create((float)Low)), Vector128.Create((float)High));
    }

    private static float Total(Vector128<float> lanes) => lanes[0] + lanes[2] + (lanes[1] + lanes[3]);
}
