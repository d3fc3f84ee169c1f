using LlavaSp.Backends;
using LlavaSp.Backends.Reference;
using LlavaSp.Quantization;

namespace LlavaSp.Tests.Generation;

/// <summary>The reference backend, watched: counts operations, fails at one when told to, and notes whether two calls ever ran at the same time.</summary>
internal sealed class ProbeBackend : IBackend
{
    private readonly ReferenceBackend _inner = new();
    private int _inside;

    /// <summary>Operations so far.</summary>
    public int Calls { get; private set; }

    /// <summary>Calls of the patch embedding: pictures encoded.</summary>
    public int PicturesEncoded { get; private set; }

    /// <summary>The operation, counted from 1, that throws; 0 for none.</summary>
    public int FailAt { get; set; }

    /// <summary>Whether a call began before another had ended.</summary>
    public bool Overlapped { get; private set; }

    public BackendInfo Info => _inner.Info;

    public Tensor CreateTensor(int rows, int columns, Precision precision = Precision.Full) => Watch(() => _inner.CreateTensor(rows, columns, precision));

    public Weight CreateWeight(WeightSource source, WeightFormat format) => Watch(() => _inner.CreateWeight(source, format));

    public KvCache CreateKvCache(KvCacheShape shape) => Watch(() => _inner.CreateKvCache(shape));

    public void CopyCache(KvCache destination, KvCache source, int positions) => Watch(() => _inner.CopyCache(destination, source, positions));

    public void Copy(Tensor destination, Tensor source) => Watch(() => _inner.Copy(destination, source));

    public void Gather(Tensor destination, Tensor source, ReadOnlySpan<int> rows)
    {
        int[] copy = rows.ToArray();
        Watch(() => _inner.Gather(destination, source, copy));
    }

    public void PatchEmbedding(Tensor destination, TilePixels pixels, PatchEmbeddingWeights weights)
    {
        PicturesEncoded++;
        Watch(() => _inner.PatchEmbedding(destination, pixels, weights));
    }

    public void LayerNorm(Tensor destination, Tensor source, Tensor weight, Tensor bias, float epsilon) =>
        Watch(() => _inner.LayerNorm(destination, source, weight, bias, epsilon));

    public void RmsNorm(Tensor destination, Tensor source, Tensor weight, float epsilon) =>
        Watch(() => _inner.RmsNorm(destination, source, weight, epsilon));

    public void Linear(Tensor destination, Tensor source, Weight weight, Epilogue epilogue = default) =>
        Watch(() => _inner.Linear(destination, source, weight, epilogue));

    public void FullAttention(Tensor destination, Tensor qkv, int batch, int heads) => Watch(() => _inner.FullAttention(destination, qkv, batch, heads));

    public void RopeAndCache(Tensor query, Tensor qkv, KvCache cache, int layer, RopeTable rope, int first) =>
        Watch(() => _inner.RopeAndCache(query, qkv, cache, layer, rope, first));

    public void CausalAttention(Tensor destination, Tensor query, KvCache cache, int layer, int first) =>
        Watch(() => _inner.CausalAttention(destination, query, cache, layer, first));

    public void GatedActivation(Tensor destination, Tensor gateUp) => Watch(() => _inner.GatedActivation(destination, gateUp));

    public void SpatialTokens(
        Tensor destination, Tensor features, int tiles, SpatialMode mode, IReadOnlyList<SpatialConvolution> convolutions, ITraceSink? trace) =>
        Watch(() => _inner.SpatialTokens(destination, features, tiles, mode, convolutions, trace));

    public void DetailFusion(Tensor destination, Tensor tokens, Tensor features, int tiles, DetailFusionWeights weights, ITraceSink? trace) =>
        Watch(() => _inner.DetailFusion(destination, tokens, features, tiles, weights, trace));

    public void Activate(Tensor destination, Tensor source, Activation activation) => Watch(() => _inner.Activate(destination, source, activation));

    public void Embed(Tensor destination, Weight table, ReadOnlySpan<int> ids)
    {
        int[] copy = ids.ToArray();
        Watch(() => _inner.Embed(destination, table, copy));
    }

    public int Argmax(Tensor logits) => Watch(() => _inner.Argmax(logits));

    public void Dispose() => _inner.Dispose();

    private void Watch(Action call) => Watch(() =>
    {
        call();
        return true;
    });

    private T Watch<T>(Func<T> call)
    {
        if (Interlocked.Increment(ref _inside) > 1) Overlapped = true;
        try
        {
            if (++Calls == FailAt) throw new InjectedException();
            return call();
        }
        finally
        {
            Interlocked.Decrement(ref _inside);
        }
    }
}

/// <summary>What <see cref="ProbeBackend"/> throws.</summary>
internal sealed class InjectedException() : Exception("injected");
