namespace LlavaSp.Backends.Cuda;

public sealed partial class CudaBackend
{
    private AttentionKernels? _attention;
    private DeviceBlock? _arrived;

    /// <summary>Kernels of attention.</summary>
    internal AttentionKernels Attention => _attention ??= new AttentionKernels(_module, _device.Multiprocessors);

    /// <inheritdoc/>
    public KvCache CreateKvCache(KvCacheShape shape)
    {
        Require(shape.HeadDim <= AttentionKernels.MaxHeadDim, "heads are wider than 128");
        return new CudaKvCache(_device, shape);
    }

    /// <inheritdoc/>
    public void CopyCache(KvCache destination, KvCache source, int positions)
    {
        CudaKvCache to = Of(destination), from = Of(source);
        if (to != from) to.Take(from, positions);
        Keep(to, from);
    }

    /// <inheritdoc/>
    public void FullAttention(Tensor destination, Tensor qkv, int batch, int heads)
    {
        CudaTensor y = Of(destination), x = Of(qkv);
        Require(batch > 0 && heads > 0 && x.Rows % batch == 0 && x.Columns % (3 * heads) == 0, "qkv is not so many blocks of rows and heads");
        int headDim = x.Columns / (3 * heads);
        Require(headDim <= AttentionKernels.MaxHeadDim, "heads are wider than 128");
        Require(y.Rows == x.Rows && y.Columns == heads * headDim, "destination is not [rows, heads * headDim]");
        Require(x.Element != Element.F32, "query, key and value are not f16 or bf16");
        if (x.Rows == 0) return;
        Attention.Vision(
            new VisionAttentionArguments
            {
                Output = y.Address,
                OutputStride = y.Stride,
                OutputElement = (int)y.Element,
                Qkv = x.Address,
                Stride = x.Stride,
                Rows = x.Rows / batch,
                Heads = heads,
                HeadDim = headDim,
                Scale = AttentionKernels.Scale(headDim),
            },
            x.Element, batch);
        Keep(y, x);
    }

    /// <inheritdoc/>
    public void RopeAndCache(Tensor query, Tensor qkv, KvCache cache, int layer, RopeTable rope, int first)
    {
        CudaTensor q = Of(query), x = Of(qkv), cos = Of(rope.Cos), sin = Of(rope.Sin);
        CudaKvCache kv = Of(cache);
        int headDim = kv.Shape.HeadDim, kvHeads = kv.Shape.KvHeads, heads = RequireQueries(q, kv, layer, first);
        Require(x.Rows == q.Rows && x.Columns == (heads + 2 * kvHeads) * headDim, "qkv is not [rows, (heads + 2 * kvHeads) * headDim]");
        Require(cos.Element == Element.F32 && sin.Element == Element.F32, "cos and sin are not float32");
        Require(cos.Columns == headDim / 2 && sin.Columns == headDim / 2, "cos and sin are not [positions, headDim / 2]");
        Require(Math.Min(cos.Rows, sin.Rows) >= first + q.Rows, "cos and sin end before the last position");
        if (q.Rows == 0) return;
        kv.Reserve(first + q.Rows);
        Attention.Rope(
            new RopeAndCacheArguments
            {
                Query = q.Address,
                QueryStride = q.Stride,
                Keys = kv.Keys(layer),
                Values = kv.Values(layer),
                Pages = kv.Pages,
                Qkv = x.Address,
                Stride = x.Stride,
                Cos = cos.Address,
                CosStride = cos.Stride,
                Sin = sin.Address,
                SinStride = sin.Stride,
                Rows = q.Rows,
                First = first,
                Heads = heads,
                KvHeads = kvHeads,
                HeadDim = headDim,
            },
            x.Element, kv.Shape.Format, batch: 1);
        Keep(q, x, rope, kv);
    }

    /// <inheritdoc/>
    public void CausalAttention(Tensor destination, Tensor query, KvCache cache, int layer, int first)
    {
        CudaTensor y = Of(destination), q = Of(query);
        CudaKvCache kv = Of(cache);
        int headDim = kv.Shape.HeadDim, kvHeads = kv.Shape.KvHeads, heads = RequireQueries(q, kv, layer, first), length = first + q.Rows;
        Require(y.Rows == q.Rows && y.Columns == q.Columns, "destination and queries differ in size");
        Require(length <= kv.Reserved, "the cache was not written that far");
        if (q.Rows == 0) return;
        if (AttentionKernels.IsDecode(q.Rows, heads / kvHeads))
        {
            int splits = Attention.Splits(length, q.Rows, heads, kv.Shape, batch: 1);
            long bytes = AttentionKernels.PartialBytes(splits, q.Rows, heads, headDim, batch: 1);
            Attention.Decode(
                new DecodeAttentionArguments
                {
                    Output = y.Address,
                    OutputStride = y.Stride,
                    OutputElement = (int)y.Element,
                    Query = q.Address,
                    QueryStride = q.Stride,
                    Arrived = splits == 1 ? 0 : Counters(AttentionKernels.Counters(q.Rows, heads, kvHeads, batch: 1)),
                    Keys = kv.Keys(layer),
                    Values = kv.Values(layer),
                    Pages = kv.Pages,
                    Length = length,
                    Rows = q.Rows,
                    Heads = heads,
                    KvHeads = kvHeads,
                    HeadDim = headDim,
                    Scale = AttentionKernels.Scale(headDim),
                },
                kv.Shape.Format, batch: 1, splits, bytes == 0 ? 0 : Scratch(bytes));
        }
        else
        {
            Attention.Prefill(
                new PrefillAttentionArguments
                {
                    Output = y.Address,
                    OutputStride = y.Stride,
                    OutputElement = (int)y.Element,
                    Query = q.Address,
                    QueryStride = q.Stride,
                    Keys = kv.Keys(layer),
                    Values = kv.Values(layer),
                    Pages = kv.Pages,
                    Rows = q.Rows,
                    First = first,
                    Heads = heads,
                    KvHeads = kvHeads,
                    HeadDim = headDim,
                    Scale = AttentionKernels.Scale(headDim),
                },
                kv.Shape.Format);
        }

        Keep(y, q, kv);
    }

    // Zeros that every launch leaves as zeros.
    internal ulong Counters(int count)
    {
        long bytes = (long)count * sizeof(int);
        if (_arrived is null || _arrived.Bytes < bytes)
        {
            _arrived?.Dispose();
            _arrived = null;
            _arrived = _device.Allocate(Math.Max(bytes, 4096), "counters of attention");
            _device.Fill(_arrived.Address, 0, _arrived.Bytes / sizeof(int));
        }

        return _arrived.Address;
    }

    private static CudaKvCache Of(KvCache cache) => cache as CudaKvCache ?? throw new ArgumentException("the cache belongs to another backend", nameof(cache));

    // Returns the number of query heads.
    private static int RequireQueries(CudaTensor query, CudaKvCache cache, int layer, int first)
    {
        KvCacheShape shape = cache.Shape;
        int heads = query.Columns / shape.HeadDim;
        Require(query.Columns % shape.HeadDim == 0 && heads % shape.KvHeads == 0 && heads > 0, "queries are not a multiple of the cache's heads");
        Require(query.Element == Element.F16, "queries are not f16");
        Require((uint)layer < (uint)shape.Layers, "the cache has no such layer");
        Require(first >= 0 && first <= shape.Capacity - query.Rows, "the cache is not that long");
        return heads;
    }
}
