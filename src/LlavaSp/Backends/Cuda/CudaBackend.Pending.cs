namespace LlavaSp.Backends.Cuda;

public sealed partial class CudaBackend
{
    /// <inheritdoc/>
    public void PatchEmbedding(Tensor destination, TilePixels pixels, PatchEmbeddingWeights weights) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void SpatialTokens(
        Tensor destination, Tensor features, int tiles, SpatialMode mode, IReadOnlyList<SpatialConvolution> convolutions, ITraceSink? trace) =>
        throw new NotSupportedException();

    /// <inheritdoc/>
    public void DetailFusion(Tensor destination, Tensor tokens, Tensor features, int tiles, DetailFusionWeights weights, ITraceSink? trace) =>
        throw new NotSupportedException();
}
