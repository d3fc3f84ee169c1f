using System.Numerics;
using System.Runtime.InteropServices;

namespace LlavaSp.Quantization;

/// <summary>IEEE halves as raw bits, converted with integer arithmetic that any vector unit has.</summary>
public static class HalfFloats
{
    private const uint Sign = 0x8000, Infinity = 0x7C00, SmallestNormal = 0x0400, QuietNaN = 0x0040_0000;

    // Exponent bias of float32 minus that of a half, at the exponent's place in a float32.
    private const uint Rebias = (127 - 15) << 23;

    /// <summary>The float32 of the same values: exact, subnormals included; a NaN becomes quiet and keeps its payload, as the processor does it.</summary>
    /// <param name="bits">[n].</param>
    /// <param name="values">[n] or longer.</param>
    public static void Widen(ReadOnlySpan<ushort> bits, Span<float> values)
    {
        ref ushort input = ref MemoryMarshal.GetReference(bits);
        ref float output = ref MemoryMarshal.GetReference(values[..bits.Length]);
        int done = 0;
        for (; done <= bits.Length - Vector<ushort>.Count; done += Vector<ushort>.Count)
        {
            Vector.Widen(Vector.LoadUnsafe(ref input, (nuint)done), out Vector<uint> low, out Vector<uint> high);
            Widen(low).StoreUnsafe(ref output, (nuint)done);
            Widen(high).StoreUnsafe(ref output, (nuint)(done + Vector<uint>.Count));
        }

        for (; done < bits.Length; done++) values[done] = (float)BitConverter.UInt16BitsToHalf(bits[done]);
    }

    private static Vector<float> Widen(Vector<uint> bits)
    {
        Vector<uint> sign = (bits & new Vector<uint>(Sign)) << 16, magnitude = bits & new Vector<uint>(Sign - 1);
        Vector<uint> normal = (magnitude << 13) + new Vector<uint>(Rebias);
        Vector<uint> special = Vector.GreaterThanOrEqual(magnitude, new Vector<uint>(Infinity));
        Vector<uint> isNaN = Vector.GreaterThan(magnitude, new Vector<uint>(Infinity));
        normal += special & new Vector<uint>(Rebias);
        normal |= isNaN & new Vector<uint>(QuietNaN);

        // A subnormal half is its integer times 2^-24: as the fraction of a float32 in [2^-14, 2^-13), less the 2^-14.
        Vector<uint> lifted = (magnitude << 13) + new Vector<uint>(Rebias + (1 << 23));
        Vector<float> subnormal = Vector.AsVectorSingle(lifted) - new Vector<float>(1f / 16384);
        Vector<uint> small = Vector.LessThan(magnitude, new Vector<uint>(SmallestNormal));
        return Vector.AsVectorSingle(Vector.ConditionalSelect(small, Vector.AsVectorUInt32(subnormal), normal) | sign);
    }
}
