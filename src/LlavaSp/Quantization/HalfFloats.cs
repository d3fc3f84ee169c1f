using System.Numerics;
using System.Runtime.InteropServices;

namespace LlavaSp.Quantization;

/// <summary>IEEE halves as raw bits, converted with integer arithmetic that any vector unit has.</summary>
public static class HalfFloats
{
    private const uint Sign = 0x8000, Infinity = 0x7C00, SmallestNormal = 0x0400, QuietNaN = 0x0040_0000;

    // 65520, halfway between the largest half and the next power of two, as a float32.
    private const uint SmallestOverflow = 0x477F_F000;

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

    /// <summary>Nearest half of every value, ties to even; what is too large becomes infinite, NaN stays NaN: as (Half)value, vectorised.</summary>
    /// <param name="values">[n].</param>
    /// <param name="bits">[n] or longer.</param>
    public static void Narrow(ReadOnlySpan<float> values, Span<ushort> bits)
    {
        ref float input = ref MemoryMarshal.GetReference(values);
        ref ushort output = ref MemoryMarshal.GetReference(bits[..values.Length]);
        int done = 0;
        for (; done <= values.Length - Vector<ushort>.Count; done += Vector<ushort>.Count)
        {
            Vector<uint> low = Narrow(Vector.LoadUnsafe(ref input, (nuint)done)), high = Narrow(Vector.LoadUnsafe(ref input, (nuint)(done + Vector<uint>.Count)));
            Vector.Narrow(low, high).StoreUnsafe(ref output, (nuint)done);
        }

        for (; done < values.Length; done++) bits[done] = BitConverter.HalfToUInt16Bits((Half)values[done]);
    }

    /// <summary>Whether <see cref="Narrow(ReadOnlySpan{float}, Span{ushort})"/> would make one of the finite values infinite.</summary>
    public static bool Overflows(ReadOnlySpan<float> values)
    {
        ref float input = ref MemoryMarshal.GetReference(values);
        Vector<uint> found = Vector<uint>.Zero;
        int done = 0;
        for (; done <= values.Length - Vector<float>.Count; done += Vector<float>.Count)
        {
            Vector<uint> magnitude = Vector.AsVectorUInt32(Vector.LoadUnsafe(ref input, (nuint)done)) & new Vector<uint>(0x7FFF_FFFF);
            found |= Vector.GreaterThanOrEqual(magnitude, new Vector<uint>(SmallestOverflow)) & Vector.LessThan(magnitude, new Vector<uint>(0x7F80_0000));
        }

        bool any = found != Vector<uint>.Zero;
        for (; done < values.Length; done++) any |= float.IsFinite(values[done]) && !Half.IsFinite((Half)values[done]);
        return any;
    }

    private static Vector<uint> Narrow(Vector<float> values)
    {
        Vector<uint> bits = Vector.AsVectorUInt32(values), sign = (bits >> 16) & new Vector<uint>(Sign), magnitude = bits & new Vector<uint>(0x7FFF_FFFF);
        Vector<uint> normal = (magnitude - new Vector<uint>(Rebias) + new Vector<uint>(0xFFF) + ((magnitude >> 13) & Vector<uint>.One)) >> 13;

        // Added to 1/2, whose last place is the smallest half, the processor itself rounds to that place.
        Vector<uint> one = Vector.AsVectorUInt32(Vector.AsVectorSingle(magnitude) + new Vector<float>(0.5f)) - new Vector<uint>(0x3F00_0000);
        Vector<uint> result = Vector.ConditionalSelect(Vector.LessThan(magnitude, new Vector<uint>(0x3880_0000)), one, normal);
        result = Vector.ConditionalSelect(Vector.GreaterThanOrEqual(magnitude, new Vector<uint>(0x4780_0000)), new Vector<uint>(Infinity), result);
        Vector<uint> isNaN = Vector.GreaterThan(magnitude, new Vector<uint>(0x7F80_0000));
        Vector<uint> quiet = new Vector<uint>(Infinity | 0x200) | ((magnitude >> 13) & new Vector<uint>(0x3FF));
        return Vector.ConditionalSelect(isNaN, quiet, result) | sign;
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
