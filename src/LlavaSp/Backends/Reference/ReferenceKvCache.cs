using LlavaSp.Quantization;

namespace LlavaSp.Backends.Reference;

/// <summary>Keys and values in managed memory: [layers][capacity, kvHeads * headDim], rounded to the cache's format when written.</summary>
internal sealed class ReferenceKvCache : KvCache
{
    private readonly float[][] _keys;
    private readonly float[][] _values;

    public ReferenceKvCache(KvCacheShape shape) : base(shape)
    {
        int size = checked(shape.Capacity * shape.KvHeads * shape.HeadDim);
        _keys = [.. Enumerable.Range(0, shape.Layers).Select(_ => new float[size])];
        _values = [.. Enumerable.Range(0, shape.Layers).Select(_ => new float[size])];
    }

    /// <summary>[headDim] of one position and head.</summary>
    public Span<float> Key(int layer, int position, int head) => At(_keys, layer, position, head);

    /// <summary>[headDim] of one position and head.</summary>
    public Span<float> Value(int layer, int position, int head) => At(_values, layer, position, head);

    /// <summary>What was written to a key or a value becomes what the format makes of it.</summary>
    public void Round(Span<float> written) => KvQuantizer.Round(written, Shape.Format);

    /// <summary>The first positions of another cache over those of this one.</summary>
    public void Take(ReferenceKvCache source, int positions)
    {
        Shape.RequireCopy(source.Shape, positions);
        int count = positions * Shape.KvHeads * Shape.HeadDim;
        for (int layer = 0; layer < Shape.Layers; layer++)
        {
            source._keys[layer].AsSpan(0, count).CopyTo(_keys[layer]);
            source._values[layer].AsSpan(0, count).CopyTo(_values[layer]);
        }
    }

    private Span<float> At(float[][] data, int layer, int position, int head) =>
        data[layer].AsSpan((position * Shape.KvHeads + head) * Shape.HeadDim, Shape.HeadDim);
}
