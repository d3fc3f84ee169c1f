using System.Numerics;
using System.Runtime.InteropServices;

namespace LlavaSp.Quantization;

/// <summary>bfloat16 as raw bits.</summary>
public static class Bf16
{
    /// <summary>The float32 of the same value.</summary>
    public static float Widen(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    /// <summary>The float32 of the same values, vectorised.</summary>
    /// <param name="bits">[n].</param>
    /// <param name="values">[n] or longer.</param>
    public static void Widen(ReadOnlySpan<ushort> bits, Span<float> values)
    {
        ref ushort input = ref MemoryMarshal.GetReference(bits);
        ref uint output = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<float, uint>(values[..bits.Length]));
        int done = 0;
        for (; done <= bits.Length - Vector<ushort>.Count; done += Vector<ushort>.Count)
        {
            Vector.Widen(Vector.LoadUnsafe(ref input, (nuint)done), out Vector<uint> low, out Vector<uint> high);
            (low << 16).StoreUnsafe(ref output, (nuint)done);
            (high << 16).StoreUnsafe(ref output, (nuint)(done + Vector<uint>.Count));
        }

        for (; done < bits.Length; done++) values[done] = Widen(bits[done]);
    }

    /// <summary>Nearest bfloat16, ties to even; NaN stays NaN.</summary>
    public static ushort Narrow(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        if (float.IsNaN(value)) return (ushort)((bits >> 16) | 0x40);
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    /// <summary>Nearest bfloat16 of every value, vectorised.</summary>
    /// <param name="values">[n].</param>
    /// <param name="bits">[n] or longer.</param>
    public static void Narrow(ReadOnlySpan<float> values, Span<ushort> bits)
    {
        ref uint input = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<float, uint>(values));
        ref ushort output = ref MemoryMarshal.GetReference(bits[..values.Length]);
        int done = 0;
        for (; done <= values.Length - Vector<ushort>.Count; done += Vector<ushort>.Count)
        {
            Vector<uint> low = Rounded(Vector.LoadUnsafe(ref input, (nuint)done)), high = Rounded(Vector.LoadUnsafe(ref input, (nuint)(done + Vector<uint>.Count)));
            Vector.Narrow(low, high).StoreUnsafe(ref output, (nuint)done);
        }

        for (; done < values.Length; done++) bits[done] = Narrow(values[done]);
    }

    private static Vector<uint> Rounded(Vector<uint> bits)
    {
        Vector<uint> top = bits >> 16, rounded = (bits + new Vector<uint>(0x7FFF) + (top & Vector<uint>.One)) >> 16;
        Vector<uint> isNaN = Vector.GreaterThan(bits & new Vector<uint>(0x7FFFFFFF), new Vector<uint>(0x7F800000));
        return Vector.ConditionalSelect(isNaN, top | new Vector<uint>(0x40), rounded);
    }
}
