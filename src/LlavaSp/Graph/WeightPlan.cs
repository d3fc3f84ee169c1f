using LlavaSp.Quantization;

namespace LlavaSp.Graph;

/// <summary>
/// Format of each kind of matrix. Vectors (norms, biases, positions) are always float32.
/// </summary>
/// <param name="Decoder">Projections of the decoder's layers.</param>
/// <param name="Head">Output matrix: the last word on every token, so never below 8 bits.</param>
/// <param name="Embedding">Embedding table: rows are looked up, so integers would save no time.</param>
/// <param name="Vision">Linear layers of the vision tower and the projector: bound by arithmetic, and 4 bits cost accuracy there.</param>
/// <param name="Patches">Patch embedding: the first layer, small.</param>
/// <param name="Spatial">Convolutions of the spatial tokens and conv_CM: a stream of weights, the fewer bytes the better.</param>
public sealed record WeightPlan(
    WeightFormat Decoder, WeightFormat Head, WeightFormat Embedding, WeightFormat Vision, WeightFormat Patches, WeightFormat Spatial)
{
    /// <summary>The plan behind one word on the command line, or two.</summary>
    /// <param name="format">All matrices, as far as they take it.</param>
    /// <param name="vision">Vision tower and projector, where they are to have another format; not int4.</param>
    public static WeightPlan For(WeightFormat format, WeightFormat? vision = null)
    {
        if (vision is { Kind: WeightKind.Int4 }) throw new LlavaSpException("the vision tower takes f32, f16, bf16 or int8: 4 bits cost too much accuracy there");
        WeightFormat int8 = format.IsInteger ? WeightFormat.Int8(format.GroupSize) : WeightFormat.Int8();
        WeightPlan plan = format.IsInteger
            ? new WeightPlan(format, int8, WeightFormat.F16, int8, WeightFormat.F16, format)
            : new WeightPlan(format, format, format, format, format, format);
        return vision is not { } other ? plan : plan with { Vision = other, Patches = other.IsInteger ? plan.Patches : other };
    }
}
