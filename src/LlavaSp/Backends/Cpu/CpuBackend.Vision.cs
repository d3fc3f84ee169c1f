using System.Buffers;

namespace LlavaSp.Backends.Cpu;

public sealed unsafe partial class CpuBackend
{
    private const int MaxConvolutions = 64;

    /// <inheritdoc/>
    public void PatchEmbedding(Tensor destination, TilePixels pixels, PatchEmbeddingWeights weights)
    {
        CpuTensor y = Of(destination), classToken = Of(weights.ClassToken), positions = Of(weights.Positions);
        CpuTensor normWeight = Of(weights.NormWeight), normBias = Of(weights.NormBias);
        CpuWeight patches = Of(weights.Patches);
        int size = pixels.Size, patch = weights.PatchSize, tiles = pixels.Tiles;
        Require(tiles >= 0 && patch is >= 1 and <= 4096 && size >= patch && size <= 4096, "tile or patch size out of range");
        int grid = size / patch, n = grid * grid, d = y.Columns;
        Require(patches.Rows == d && patches.Columns == 3L * patch * patch, "patches are not [d, 3 * patch * patch]");
        Require(y.Rows == (long)tiles * (n + 1), "destination is not [tiles * (patches + 1), d]");
        Require(classToken.Length == d && normWeight.Length == d && normBias.Length == d, "class token and norm are not [d]");
        Require(positions.Columns == d && positions.Rows == n + 1, "positions are not [patches + 1, d]");
        Require(pixels.Pixels.Length == 3L * tiles * size * size && pixels.Lookup.Length == 3 * 256, "pixels are not [tiles, 3, size, size]");
        fixed (byte* data = pixels.Pixels.Span)
        fixed (float* lookup = pixels.Lookup.Span)
        {
            if (tiles == 0) return;
            Check(NativeMethods.lsp_patch_embedding(
                _engine.Value, y.Data, data, lookup, tiles, size, patch, patches.Value, classToken.Data, positions.Data, normWeight.Data, normBias.Data,
                weights.NormEpsilon, _int8));
        }

        Keep(destination, weights);
    }

    /// <inheritdoc/>
    public void SpatialTokens(
        Tensor destination, Tensor features, int tiles, SpatialMode mode, IReadOnlyList<SpatialConvolution> convolutions, ITraceSink? trace)
    {
        CpuTensor y = Of(destination), x = Of(features);
        int count = convolutions.Count, grid = GridOf(x, tiles), d = x.Columns;
        Require(count is >= 1 and <= MaxConvolutions, "no convolutions, or too many");
        Require(y.Rows == (long)tiles * count, "destination is not [tiles * convolutions, width]");
        int* sizes = stackalloc int[MaxConvolutions];
        nint* kernels = stackalloc nint[MaxConvolutions];
        for (int i = 0; i < count; i++)
        {
            (int k, Weight kernel) = convolutions[i];
            Require(k >= 1 && (mode == SpatialMode.Pooling ? k <= 4096 : k <= grid), "a kernel is larger than the grid");
            Require(kernel.Rows == y.Columns && kernel.Columns == (long)k * k * d, "a kernel is not [width, k * k * d]");
            sizes[i] = k;
            kernels[i] = Of(kernel).Value;
        }

        Check(NativeMethods.lsp_spatial_tokens(_engine.Value, y.Data, x.Data, tiles, grid, d, mode, count, sizes, kernels, _int8));
        Keep(destination, features, convolutions);
        if (trace is not null) TraceSpatialTokens(trace, y, x, tiles, grid, mode, convolutions);
    }

    /// <inheritdoc/>
    public void DetailFusion(Tensor destination, Tensor tokens, Tensor features, int tiles, DetailFusionWeights weights, ITraceSink? trace)
    {
        CpuTensor y = Of(destination), t = Of(tokens), x = Of(features);
        CpuWeight kernel = Of(weights.Kernel);
        int grid = GridOf(x, tiles), d = x.Columns, width = t.Columns;
        Require(t.Rows % tiles == 0, "tokens are not a multiple of the tiles");
        Require(y.Rows == t.Rows && y.Columns == 2L * width, "destination is not [tokens, 2 * width]");
        Require(weights.KernelSize >= 1 && weights.KernelSize <= grid && weights.Stride >= 1, "kernel or stride does not fit the grid");
        Require(kernel.Rows == width && kernel.Columns == (long)weights.KernelSize * weights.KernelSize * d, "conv_CM is not [width, k * k * d]");
        var size = new FusionSize(tiles, t.Rows / tiles, grid, d, weights.KernelSize, weights.Stride, width);
        if (trace is null)
        {
            RunFusion(y, t, x, size, weights, null);
        }
        else
        {
            using var block = new NativeBlock(sizeof(float) * size.Tiles * (3 * size.Map + 2 * size.Tokens + 2 * size.Logits));
            NativeMethods.FusionTrace pointers = default;
            pointers.Conv = (float*)block.Pointer;
            pointers.Key = pointers.Conv + tiles * size.Map;
            pointers.Value = pointers.Key + tiles * size.Map;
            pointers.Query = pointers.Value + tiles * size.Map;
            pointers.Out = pointers.Query + tiles * size.Tokens;
            pointers.Logits = pointers.Out + tiles * size.Tokens;
            pointers.Probs = pointers.Logits + tiles * size.Logits;
            RunFusion(y, t, x, size, weights, &pointers);
            TraceFusion(trace, size, pointers);
        }

        Keep(destination, tokens, features, weights);
    }

    private void RunFusion(
        CpuTensor destination, CpuTensor tokens, CpuTensor features, FusionSize size, DetailFusionWeights weights, NativeMethods.FusionTrace* trace)
    {
        NativeMethods.NormLinearView query = View(weights.Query, size.Width), key = View(weights.Key, size.Width), value = View(weights.Value, size.Width);
        Check(NativeMethods.lsp_detail_fusion(
            _engine.Value, destination.Data, tokens.Data, size.Count, features.Data, size.Tiles, size.Grid, size.Depth, size.Kernel, size.Stride,
            Of(weights.Kernel).Value, &query, &key, &value, weights.NormEpsilon, trace, _int8));
    }

    private static void TraceFusion(ITraceSink trace, FusionSize size, NativeMethods.FusionTrace from)
    {
        int positions = size.Side * size.Side;
        for (int tile = 0; tile < size.Tiles; tile++)
        {
            AddMap(trace, Name("sp.conv_CM"), from.Conv + tile * size.Map, size.Side, size.Width);
            Add(trace, Name("sp.query"), from.Query + tile * size.Tokens, size.Count, size.Width);
            Add(trace, Name("sp.key"), from.Key + tile * size.Map, positions, size.Width);
            Add(trace, Name("sp.value"), from.Value + tile * size.Map, positions, size.Width);
            Add(trace, Name("sp.attn_logits"), from.Logits + tile * size.Logits, size.Count, positions);
            Add(trace, Name("sp.attn_probs"), from.Probs + tile * size.Logits, size.Count, positions);
            Add(trace, Name("sp.attn_out"), from.Out + tile * size.Tokens, size.Count, size.Width);

            string Name(string name) => TraceNames.Tile(size.Tiles, tile, name);
        }
    }

    private void TraceSpatialTokens(
        ITraceSink trace, CpuTensor tokens, CpuTensor features, int tiles, int grid, SpatialMode mode, IReadOnlyList<SpatialConvolution> convolutions)
    {
        int d = features.Columns;
        for (int tile = 0; tile < tiles; tile++)
        {
            for (int i = 0; i < convolutions.Count; i++)
            {
                int k = convolutions[i].KernelSize;
                string pool = TraceNames.Tile(tiles, tile, $"sp.pool.{k}");
                if (mode == SpatialMode.Pooling && k != grid && trace.Wants(pool))
                {
                    using var block = new NativeBlock(sizeof(float) * (long)k * k * d);
                    Check(NativeMethods.lsp_adaptive_pool(
                        _engine.Value, (float*)block.Pointer, features.Data + (long)tile * grid * grid * d, grid, d, k));
                    AddMap(trace, pool, (float*)block.Pointer, k, d);
                }

                string name = TraceNames.Tile(tiles, tile, $"sp.conv.{k}");
                if (trace.Wants(name))
                    trace.Add(name, new ReadOnlySpan<float>(tokens.Data + (long)(tile * convolutions.Count + i) * tokens.Columns, tokens.Columns), tokens.Columns);
            }
        }

        Keep(tokens, features);
    }

    private static NativeMethods.NormLinearView View(NormLinear weights, int width)
    {
        CpuTensor normWeight = Of(weights.NormWeight), normBias = Of(weights.NormBias), bias = Of(weights.Bias);
        CpuWeight linear = Of(weights.Linear);
        Require(normWeight.Length == width && normBias.Length == width && bias.Length == width, "norm or bias is not [width]", nameof(DetailFusion));
        Require(linear.Rows == width && linear.Columns == width, "a projection is not [width, width]", nameof(DetailFusion));
        return new NativeMethods.NormLinearView
        {
            NormWeight = normWeight.Data,
            NormBias = normBias.Data,
            Linear = linear.Value,
            Bias = bias.Data,
        };
    }

    private static int GridOf(CpuTensor features, int tiles)
    {
        Require(tiles is >= 1 and <= 1024 && features.Rows % tiles == 0, "features are not a multiple of the tiles");
        int cells = features.Rows / tiles, grid = (int)Math.Round(Math.Sqrt(cells));
        Require(grid >= 1 && grid <= 4096 && grid * grid == cells, "patches are not a square grid");
        return grid;
    }

    private static void Add(ITraceSink trace, string name, float* values, int rows, int columns)
    {
        if (trace.Wants(name)) trace.Add(name, new ReadOnlySpan<float>(values, checked(rows * columns)), rows, columns);
    }

    /// <summary>Adds a map [side * side, channels] as [channels, side, side].</summary>
    private static void AddMap(ITraceSink trace, string name, float* map, int side, int channels)
    {
        if (!trace.Wants(name)) return;
        int cells = side * side, length = checked(cells * channels);
        float[] transposed = ArrayPool<float>.Shared.Rent(length);
        for (int cell = 0; cell < cells; cell++)
            for (int c = 0; c < channels; c++)
                transposed[c * cells + cell] = map[cell * channels + c];
        trace.Add(name, transposed.AsSpan(0, length), channels, side, side);
        ArrayPool<float>.Shared.Return(transposed);
    }

    /// <summary>Sizes of a detail fusion; Map, Tokens and Logits are elements of one tile.</summary>
    private readonly record struct FusionSize(int Tiles, int Count, int Grid, int Depth, int Kernel, int Stride, int Width)
    {
        public int Side => (Grid - Kernel) / Stride + 1;

        public long Map => (long)Side * Side * Width;

        public long Tokens => (long)Count * Width;

        public long Logits => (long)Count * Side * Side;
    }
}
