namespace LlavaSp.Backends.Reference;

public sealed partial class ReferenceBackend
{
    /// <inheritdoc/>
    public void PatchEmbedding(Tensor destination, TilePixels pixels, PatchEmbeddingWeights weights)
    {
        int side = pixels.Size / weights.PatchSize, n = side * side;
        ReferenceTensor x = Of(destination), positions = Of(weights.Positions);
        for (int tile = 0; tile < pixels.Tiles; tile++)
        {
            int first = tile * (n + 1);
            Of(weights.ClassToken).Span.CopyTo(x.Row(first));
            Linear(x.Slice(first + 1, n), Patches(pixels, tile, weights.PatchSize), weights.Patches);
            for (int i = 0; i <= n; i++) AddScaled(x.Row(first + i), positions.Row(i), 1);
        }

        LayerNorm(destination, destination, weights.NormWeight, weights.NormBias, weights.NormEpsilon);
    }

    /// <inheritdoc/>
    public void SpatialTokens(
        Tensor destination, Tensor features, int tiles, SpatialMode mode, IReadOnlyList<SpatialConvolution> convolutions, ITraceSink? trace)
    {
        int cells = features.Rows / tiles, grid = GridOf(cells);
        for (int tile = 0; tile < tiles; tile++)
        {
            var map = (ReferenceTensor)features.Slice(tile * cells, cells);
            for (int c = 0; c < convolutions.Count; c++)
            {
                int k = convolutions[c].KernelSize;
                float[] window = mode == SpatialMode.Cropping
                    ? Window(map, grid, (grid - k) / 2, (grid - k) / 2, k)
                    : AdaptiveAveragePool(map, grid, k);
                if (mode == SpatialMode.Pooling && k != grid)
                    Trace(trace, TraceNames.Tile(tiles, tile, $"sp.pool.{k}"), () => ChannelFirst(window, features.Columns), features.Columns, k, k);
                Tensor token = destination.Slice(tile * convolutions.Count + c, 1);
                Linear(token, new ReferenceTensor(window, 0, 1, window.Length), convolutions[c].Kernel);
                Trace(trace, TraceNames.Tile(tiles, tile, $"sp.conv.{k}"), token.ToArray, token.Columns);
            }
        }
    }

    /// <inheritdoc/>
    public void DetailFusion(Tensor destination, Tensor tokens, Tensor features, int tiles, DetailFusionWeights weights, ITraceSink? trace)
    {
        int cells = features.Rows / tiles, count = tokens.Rows / tiles;
        for (int tile = 0; tile < tiles; tile++)
        {
            int current = tile;
            DetailFusion(
                destination.Slice(tile * count, count), tokens.Slice(tile * count, count), (ReferenceTensor)features.Slice(tile * cells, cells), weights,
                (name, values, shape) => Trace(trace, TraceNames.Tile(tiles, current, name), values, shape));
        }
    }

    private void DetailFusion(
        Tensor destination, Tensor tokens, ReferenceTensor features, DetailFusionWeights weights, Action<string, Func<float[]>, long[]> trace)
    {
        int grid = GridOf(features.Rows), side = (grid - weights.KernelSize) / weights.Stride + 1, width = tokens.Columns;
        ReferenceTensor map = ReferenceTensor.Create(side * side, width), clean = ReferenceTensor.Create(tokens.Rows, width);
        for (int i = 0; i < map.Rows; i++)
        {
            float[] window = Window(features, grid, i / side * weights.Stride, i % side * weights.Stride, weights.KernelSize);
            Linear(map.Slice(i, 1), new ReferenceTensor(window, 0, 1, window.Length), weights.Kernel);
        }

        foreach (ref float x in map.Span) x = ReferenceMath.NanToNum(x);
        trace("sp.conv_CM", () => ChannelFirst(map.ToArray(), width), [width, side, side]);
        for (int i = 0; i < clean.Span.Length; i++) clean.Span[i] = ReferenceMath.NanToNum(Of(tokens).Span[i]);

        ReferenceTensor query = Project(clean, weights.Query, weights.NormEpsilon);
        ReferenceTensor key = Project(map, weights.Key, weights.NormEpsilon), value = Project(map, weights.Value, weights.NormEpsilon);
        ReferenceTensor attention = ReferenceTensor.Create(clean.Rows, map.Rows), fused = ReferenceTensor.Create(clean.Rows, width);
        for (int i = 0; i < clean.Rows; i++)
        {
            for (int j = 0; j < map.Rows; j++)
                attention.Row(i)[j] = ReferenceMath.NanToNum(ReferenceMath.Dot(query.Row(i), key.Row(j)) / MathF.Sqrt(width));
        }

        trace("sp.query", query.ToArray, [query.Rows, width]);
        trace("sp.key", key.ToArray, [key.Rows, width]);
        trace("sp.value", value.ToArray, [value.Rows, width]);
        trace("sp.attn_logits", attention.ToArray, [attention.Rows, attention.Columns]);
        for (int i = 0; i < clean.Rows; i++)
        {
            ReferenceMath.Softmax(attention.Row(i));
            for (int j = 0; j < map.Rows; j++) AddScaled(fused.Row(i), value.Row(j), attention.Row(i)[j]);
            clean.Row(i).CopyTo(Of(destination).Row(i)[..width]);
            fused.Row(i).CopyTo(Of(destination).Row(i)[width..]);
        }

        trace("sp.attn_probs", attention.ToArray, [attention.Rows, attention.Columns]);
        trace("sp.attn_out", fused.ToArray, [fused.Rows, width]);
    }

    private ReferenceTensor Project(ReferenceTensor source, NormLinear weights, float epsilon)
    {
        ReferenceTensor normed = ReferenceTensor.Create(source.Rows, source.Columns);
        ReferenceTensor projected = ReferenceTensor.Create(source.Rows, (int)weights.Linear.Rows);
        LayerNorm(normed, source, weights.NormWeight, weights.NormBias, epsilon);
        Linear(projected, normed, weights.Linear, new Epilogue(weights.Bias));
        return projected;
    }

    /// <summary>Normalised pixels of every patch: [n, 3*p*p], channel, then row, then column.</summary>
    private static ReferenceTensor Patches(TilePixels pixels, int tile, int patch)
    {
        int size = pixels.Size, side = size / patch;
        ReferenceTensor rows = ReferenceTensor.Create(side * side, 3 * patch * patch);
        ReadOnlySpan<byte> planes = pixels.Pixels.Span.Slice(tile * 3 * size * size, 3 * size * size);
        ReadOnlySpan<float> lookup = pixels.Lookup.Span;
        for (int i = 0; i < rows.Rows; i++)
        {
            Span<float> row = rows.Row(i);
            for (int j = 0; j < row.Length; j++)
            {
                int channel = j / (patch * patch), y = i / side * patch + j / patch % patch, x = i % side * patch + j % patch;
                row[j] = lookup[channel * 256 + planes[(channel * size + y) * size + x]];
            }
        }

        return rows;
    }

    /// <summary>The k x k cells from (top, left): [k*k, d] flattened.</summary>
    private static float[] Window(ReferenceTensor map, int grid, int top, int left, int k)
    {
        var window = new float[k * k * map.Columns];
        for (int i = 0; i < k * k; i++)
            map.Row((top + i / k) * grid + left + i % k).CopyTo(window.AsSpan(i * map.Columns));
        return window;
    }

    /// <summary>Adaptive average pooling to k x k: window i runs from floor(i * grid / k) to ceil((i + 1) * grid / k).</summary>
    private static float[] AdaptiveAveragePool(ReferenceTensor map, int grid, int k)
    {
        var pooled = new float[k * k * map.Columns];
        for (int i = 0; i < k * k; i++)
        {
            int top = i / k * grid / k, bottom = ((i / k + 1) * grid + k - 1) / k, left = i % k * grid / k, right = ((i % k + 1) * grid + k - 1) / k;
            Span<float> cell = pooled.AsSpan(i * map.Columns, map.Columns);
            for (int y = top; y < bottom; y++)
                for (int x = left; x < right; x++)
                    AddScaled(cell, map.Row(y * grid + x), 1);
            foreach (ref float x in cell) x /= (bottom - top) * (right - left);
        }

        return pooled;
    }

    /// <summary>[cells, channels] to [channels, cells].</summary>
    private static float[] ChannelFirst(float[] map, int channels)
    {
        int cells = map.Length / channels;
        var transposed = new float[map.Length];
        for (int i = 0; i < map.Length; i++) transposed[i % channels * cells + i / channels] = map[i];
        return transposed;
    }

    private static int GridOf(int cells)
    {
        int grid = (int)Math.Round(Math.Sqrt(cells));
        return grid * grid == cells ? grid : throw new ArgumentException($"{cells} patches are not a square grid", nameof(cells));
    }

    private static void Trace(ITraceSink? trace, string name, Func<float[]> values, params long[] shape)
    {
        if (trace is not null && trace.Wants(name)) trace.Add(name, values(), shape);
    }
}
