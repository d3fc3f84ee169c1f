namespace LlavaSp.Backends.Cuda;

public sealed partial class CudaBackend
{
    /// <inheritdoc/>
    public KvCache CreateKvCache(KvCacheShape shape) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void FullAttention(Tensor destination, Tensor qkv, int batch, int heads) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void RopeAndCache(Tensor query, Tensor qkv, KvCache cache, int layer, RopeTable rope, int first) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void CausalAttention(Tensor destination, Tensor query, KvCache cache, int layer, int first) => throw new NotSupportedException();
}
