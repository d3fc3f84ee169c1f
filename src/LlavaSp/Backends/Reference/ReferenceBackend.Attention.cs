namespace LlavaSp.Backends.Reference;

public sealed partial class ReferenceBackend
{
    /// <inheritdoc/>
    public void FullAttention(Tensor destination, Tensor qkv, int batch, int heads)
    {
        ReferenceTensor y = Of(destination), x = Of(qkv);
        int n = x.Rows / batch, d = x.Columns / 3, headDim = d / heads;
        float scale = 1 / MathF.Sqrt(headDim);
        ParallelRows.For(x.Rows * heads, i =>
        {
            int row = i / heads, column = i % heads * headDim, first = row / n * n;
            ReadOnlySpan<float> query = x.Row(row).Slice(column, headDim);
            var weights = new float[n];
            for (int j = 0; j < n; j++) weights[j] = scale * ReferenceMath.Dot(query, x.Row(first + j).Slice(d + column, headDim));
            ReferenceMath.Softmax(weights);
            Span<float> output = y.Row(row).Slice(column, headDim);
            output.Clear();
            for (int j = 0; j < n; j++) AddScaled(output, x.Row(first + j).Slice(2 * d + column, headDim), weights[j]);
        });
    }

    /// <inheritdoc/>
    public void RopeAndCache(Tensor query, Tensor qkv, KvCache cache, int layer, RopeTable rope, int first)
    {
        var kv = (ReferenceKvCache)cache;
        int headDim = kv.Shape.HeadDim, kvWidth = kv.Shape.KvHeads * headDim, heads = query.Columns / headDim;
        for (int m = 0; m < query.Rows; m++)
        {
            ReadOnlySpan<float> row = Of(qkv).Row(m), cos = Of(rope.Cos).Row(first + m), sin = Of(rope.Sin).Row(first + m);
            for (int h = 0; h < heads; h++)
                Rotate(Of(query).Row(m).Slice(h * headDim, headDim), row.Slice(h * headDim, headDim), cos, sin);
            for (int h = 0; h < kv.Shape.KvHeads; h++)
            {
                Span<float> key = kv.Key(layer, first + m, h), value = kv.Value(layer, first + m, h);
                Rotate(key, row.Slice(query.Columns + h * headDim, headDim), cos, sin);
                row.Slice(query.Columns + kvWidth + h * headDim, headDim).CopyTo(value);
                kv.Round(key);
                kv.Round(value);
            }
        }
    }

    /// <inheritdoc/>
    public void CausalAttention(Tensor destination, Tensor query, KvCache cache, int layer, int first)
    {
        ReferenceTensor y = Of(destination), q = Of(query);
        var kv = (ReferenceKvCache)cache;
        int headDim = kv.Shape.HeadDim, heads = q.Columns / headDim, group = heads / kv.Shape.KvHeads;
        float scale = 1 / MathF.Sqrt(headDim);
        ParallelRows.For(q.Rows * heads, i =>
        {
            int row = i / heads, head = i % heads, length = first + row + 1;
            ReadOnlySpan<float> one = q.Row(row).Slice(head * headDim, headDim);
            var weights = new float[length];
            for (int j = 0; j < length; j++) weights[j] = scale * ReferenceMath.Dot(one, kv.Key(layer, j, head / group));
            ReferenceMath.Softmax(weights);
            Span<float> output = y.Row(row).Slice(head * headDim, headDim);
            output.Clear();
            for (int j = 0; j < length; j++) AddScaled(output, kv.Value(layer, j, head / group), weights[j]);
        });
    }

    /// <summary>Half-split rotation: pairs (i, i + headDim/2).</summary>
    private static void Rotate(Span<float> destination, ReadOnlySpan<float> source, ReadOnlySpan<float> cos, ReadOnlySpan<float> sin)
    {
        int half = source.Length / 2;
        for (int i = 0; i < half; i++)
        {
            destination[i] = source[i] * cos[i] - source[i + half] * sin[i];
            destination[i + half] = source[i + half] * cos[i] + source[i] * sin[i];
        }
    }

    private static void AddScaled(Span<float> destination, ReadOnlySpan<float> source, float scale)
    {
        for (int i = 0; i < destination.Length; i++) destination[i] += scale * source[i];
    }
}
