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
    /// <summary>The plan behind one word on the command line.</summary>
    public static WeightPlan For(WeightFormat format)
    {
        if (!format.IsInteger) return new WeightPlan(format, format, format, format, format, format);
        WeightFormat int8 = WeightFormat.Int8(format.GroupSize);
        return new WeightPlan(format, int8, WeightFormat.F16, int8, WeightFormat.F16, format);
    }
}
