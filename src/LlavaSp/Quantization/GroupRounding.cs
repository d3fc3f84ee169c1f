using System.Numerics;
using System.Runtime.InteropServices;

namespace LlavaSp.Quantization;

/// <summary>
/// The two inner loops of the quantiser. Each has a scalar form, which is the definition and does the tail, and a vector form that gives the same bits.
/// </summary>
internal static class GroupRounding
{
    private const int MagnitudeBits = 0x7FFFFFFF, InfinityBits = 0x7F800000;

    // Adding it leaves the nearest integer, ties to even, in the low bits of the sum, for any |x| up to 2^22.
    private const float IntegerShift = 3 << 22;

    /// <summary>The first element of largest magnitude; +0 for a group of zeros.</summary>
    /// <exception cref="CheckpointException">An element is not finite.</exception>
    public static float Extreme(ReadOnlySpan<float> group)
    {
        // Magnitudes of finite floats are ordered as their bits are; infinity and NaN lie above all of them.
        ReadOnlySpan<int> bits = MemoryMarshal.Cast<float, int>(group);
        ref int input = ref MemoryMarshal.GetReference(bits);
        Vector<int> largest = Vector<int>.Zero;
        int done = 0;
        for (; done <= bits.Length - Vector<int>.Count; done += Vector<int>.Count)
            largest = Vector.Max(largest, Vector.LoadUnsafe(ref input, (nuint)done) & new Vector<int>(MagnitudeBits));

        int magnitude = 0;
        for (int lane = 0; lane < Vector<int>.Count; lane++) magnitude = Math.Max(magnitude, largest[lane]);
        for (; done < bits.Length; done++) magnitude = Math.Max(magnitude, bits[done] & MagnitudeBits);
        if (magnitude >= InfinityBits)
            throw new CheckpointException("a weight is not finite (NaN or infinity) and cannot be quantised: use f32, f16 or bf16");
        if (magnitude == 0) return 0;
        int positive = bits.IndexOf(magnitude), negative = bits.IndexOf(magnitude | ~MagnitudeBits);
        float value = BitConverter.Int32BitsToSingle(magnitude);
        return negative < 0 || (positive >= 0 && positive < negative) ? value : -value;
    }

    /// <summary><see cref="Extreme"/> element by element: its definition.</summary>
    public static float ExtremeScalar(ReadOnlySpan<float> group)
    {
        float extreme = 0;
        foreach (float x in group)
        {
            if (!float.IsFinite(x)) throw new CheckpointException("a weight is not finite (NaN or infinity) and cannot be quantised: use f32, f16 or bf16");
            if (MathF.Abs(x) > MathF.Abs(extreme)) extreme = x;
        }

        return extreme;
    }

    /// <summary>Rounds element * inverse to the nearest integer, ties to even, between low and high.</summary>
    public static void Round(ReadOnlySpan<float> group, float inverse, int low, int high, Span<sbyte> values)
    {
        ref float input = ref MemoryMarshal.GetReference(group);
        ref sbyte output = ref MemoryMarshal.GetReference(values[..group.Length]);
        int lanes = Vector<float>.Count, done = 0;
        for (; done <= group.Length - Vector<sbyte>.Count; done += Vector<sbyte>.Count)
        {
            Vector<short> first = Vector.Narrow(Quarter(ref input, done), Quarter(ref input, done + lanes));
            Vector<short> second = Vector.Narrow(Quarter(ref input, done + 2 * lanes), Quarter(ref input, done + 3 * lanes));
            Vector.Narrow(first, second).StoreUnsafe(ref output, (nuint)done);
        }

        RoundScalar(group[done..], inverse, low, high, values[done..]);

        // Clamping before rounding gives the same: the limits are integers.
        Vector<int> Quarter(ref float from, int offset)
        {
            Vector<float> scaled = Vector.LoadUnsafe(ref from, (nuint)offset) * new Vector<float>(inverse);
            scaled = Vector.ConditionalSelect(Vector.Equals(scaled, scaled), scaled, Vector<float>.Zero);
            Vector<float> clamped = Vector.MinNative(Vector.MaxNative(scaled, new Vector<float>(low)), new Vector<float>(high));
            return Vector.AsVectorInt32(clamped + new Vector<float>(IntegerShift));
        }
    }

    /// <summary><see cref="Round"/> element by element: its definition.</summary>
    public static void RoundScalar(ReadOnlySpan<float> group, float inverse, int low, int high, Span<sbyte> values)
    {
        for (int i = 0; i < group.Length; i++)
        {
            // A subnormal scale can make the inverse infinite: 0 * inf is NaN, which the cast would turn into an arbitrary integer.
            float rounded = MathF.Round(group[i] * inverse);
            values[i] = float.IsNaN(rounded) ? (sbyte)0 : (sbyte)Math.Clamp(rounded, low, high);
        }
    }
}
