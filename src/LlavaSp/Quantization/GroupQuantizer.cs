namespace LlavaSp.Quantization;

/// <summary>
/// Symmetric group-wise quantisation of weights: value = integer * scale, one scale (an IEEE half) per group of consecutive elements of a row. The
/// definition that every backend and the quantised checkpoints share.
/// </summary>
public static class GroupQuantizer
{
    /// <summary>
    /// Quantises one row. Int8 uses -127 … 127 with scale = max|x| / 127; Int4 uses -8 … 7 with the scale that leaves the least squared error of those that
    /// <see cref="ScaleSearch"/> tries; it may be negative, and the elements of largest magnitude may be cut. Integers are the nearest to x / scale.
    /// </summary>
    /// <param name="row">[columns].</param>
    /// <param name="format">An integer format.</param>
    /// <param name="values">[columns] integers.</param>
    /// <param name="scales">[groups] scales, each exactly representable as IEEE half.</param>
    /// <exception cref="CheckpointException">The row holds a value that is not finite.</exception>
    public static void Quantize(ReadOnlySpan<float> row, WeightFormat format, Span<sbyte> values, Span<float> scales)
    {
        if (!format.IsInteger) throw new ArgumentException("an integer format is needed", nameof(format));
        if (values.Length != row.Length) throw new ArgumentException("one integer per element is needed", nameof(values));
        if (scales.Length != format.Groups(row.Length)) throw new ArgumentException("one scale per group is needed", nameof(scales));

        bool int4 = format.Kind == WeightKind.Int4;
        for (int g = 0; g < scales.Length; g++)
        {
            int start = g * format.GroupSize;
            ReadOnlySpan<float> group = row.Slice(start, Math.Min(format.GroupSize, row.Length - start));
            float extreme = GroupRounding.Extreme(group);
            float scale = RoundToHalf(int4 ? ScaleSearch.Find(group, extreme) : MathF.Abs(extreme) / 127);
            scales[g] = scale;
            GroupRounding.Round(group, scale == 0 ? 0 : 1 / scale, int4 ? -8 : -127, int4 ? 7 : 127, values.Slice(start, group.Length));
        }
    }

    /// <summary>The opposite: values[i] * scale of its group.</summary>
    public static void Dequantize(ReadOnlySpan<sbyte> values, ReadOnlySpan<float> scales, int groupSize, Span<float> row)
    {
        for (int g = 0; g < scales.Length; g++)
        {
            int start = g * groupSize, end = Math.Min(start + groupSize, values.Length);
            for (int i = start; i < end; i++) row[i] = values[i] * scales[g];
        }
    }

    private static float RoundToHalf(float scale)
    {
        var half = (Half)scale;
        return float.IsFinite((float)half)
            ? (float)half
            : throw new CheckpointException("a weight is too large for a half-precision scale: use f32, f16 or bf16");
    }
}
