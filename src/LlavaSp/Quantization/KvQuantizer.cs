using LlavaSp.Backends;

namespace LlavaSp.Quantization;

/// <summary>
/// What a key-value cache makes of the key or value of one position and head; every backend with the format does the same. Int8: value = integer * scale with
/// integers of -127 … 127 and one scale for the whole head. The scale is float32, not a half: values of attention sinks are far smaller than the others.
/// </summary>
public static class KvQuantizer
{
    private const float LargestHalf = 65504, SmallestNormal = 1.17549435e-38f;

    /// <summary>Scale = max|x| / 127, integers to the nearest, ties to even. A head that is not finite has a scale of NaN: all of it reads as NaN.</summary>
    /// <param name="head">[headDim].</param>
    /// <param name="values">[headDim] integers.</param>
    /// <returns>The scale.</returns>
    public static float Quantize(ReadOnlySpan<float> head, Span<sbyte> values)
    {
        if (values.Length != head.Length) throw new ArgumentException("one integer per element is needed", nameof(values));
        float largest = 0;
        bool finite = true;
        foreach (float x in head)
        {
            largest = MathF.Max(largest, MathF.Abs(x));
            finite &= float.IsFinite(x);
        }

        float scale = finite ? largest / 127 : float.NaN;
        GroupRounding.Round(head, scale >= SmallestNormal ? 1 / scale : 0, -127, 127, values);
        return scale;
    }

    /// <summary>Rounds a head to what the cache gives back. Halves: what is too large becomes the largest, NaN stays NaN.</summary>
    /// <param name="head">[headDim], overwritten.</param>
    /// <param name="format">Element type of the cache.</param>
    public static void Round(Span<float> head, KvFormat format)
    {
        switch (format)
        {
            case KvFormat.F32:
                break;
            case KvFormat.F16:
                foreach (ref float x in head) x = (float)(Half)Math.Clamp(x, -LargestHalf, LargestHalf);
                break;
            case KvFormat.Int8:
                Span<sbyte> values = stackalloc sbyte[head.Length];
                float scale = Quantize(head, values);
                for (int i = 0; i < head.Length; i++) head[i] = values[i] * scale;
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(format));
        }
    }
}
