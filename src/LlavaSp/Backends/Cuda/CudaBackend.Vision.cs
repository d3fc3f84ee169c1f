namespace LlavaSp.Backends.Cuda;

public sealed partial class CudaBackend
{
    private const int MaxConvolutions = 64;

    private PatchKernels Patches => field ??= new PatchKernels(_device, _module);

    private SpatialKernels Spatial => field ??= new SpatialKernels(_device, _module);

    private FusionKernels Fusion => field ??= new FusionKernels(_device, _module);

    /// <inheritdoc/>
    public void PatchEmbedding(Tensor destination, TilePixels pixels, PatchEmbeddingWeights weights)
    {
        CudaTensor y = Of(destination);
        CudaWeight patches = Of(weights.Patches);
        int size = pixels.Size, patch = weights.PatchSize, tiles = pixels.Tiles;
        Require(tiles >= 0 && patch is >= 1 and <= 4096 && size >= patch && size <= 4096, "tile or patch size out of range");
        int grid = size / patch, n = grid * grid, d = y.Columns;
        Require(patches.Rows == d && patches.Columns == 3L * patch * patch, "patches are not [d, 3 * patch * patch]");
        Require(Patches.Fits(patches), $"patches of {patch} pixels do not fit the device's shared memory");
        Require(y.Rows == (long)tiles * (n + 1), "destination is not [tiles * (patches + 1), d]");
        Require(
            IsVector(weights.ClassToken, d) && IsVector(weights.NormWeight, d) && IsVector(weights.NormBias, d),
            "class token and norm are not [1, d] float32");
        Require(Of(weights.Positions) is { Element: Element.F32 } p && p.Columns == d && p.Rows == n + 1, "positions are not [patches + 1, d] float32");
        Require(pixels.Pixels.Length == 3L * tiles * size * size && pixels.Lookup.Length == 3 * 256, "pixels are not [tiles, 3, size, size]");
        if (tiles == 0) return;
        using DeviceBlock bytes = _device.Allocate(pixels.Pixels.Length, "the pixels of a picture");
        using DeviceBlock lookup = _device.Allocate(pixels.Lookup.Length * sizeof(float), "the values of pixels");
        _device.Upload(bytes.Address, pixels.Pixels.Span);
        _device.Upload(lookup.Address, pixels.Lookup.Span);
        if (!Patches.Embed(y, bytes.Address, lookup.Address, tiles, size, weights))
            LayerNorm(destination, destination, weights.NormWeight, weights.NormBias, weights.NormEpsilon);
        Keep(destination, weights);
    }

    /// <inheritdoc/>
    public void SpatialTokens(
        Tensor destination, Tensor features, int tiles, SpatialMode mode, IReadOnlyList<SpatialConvolution> convolutions, ITraceSink? trace)
    {
        CudaTensor y = Of(destination), x = Of(features);
        int count = convolutions.Count, grid = GridOf(x, tiles), d = x.Columns;
        Require(count is >= 1 and <= MaxConvolutions, "no convolutions, or too many");
        Require(y.Rows == (long)tiles * count, "destination is not [tiles * convolutions, width]");
        var kernels = new CudaWeight[count];
        var sizes = new int[count];
        for (int i = 0; i < count; i++)
        {
            (int k, Weight kernel) = convolutions[i];
            Require(k >= 1 && (mode == SpatialMode.Pooling ? k <= 4096 : k <= grid), "a kernel is larger than the grid");
            Require(kernel.Rows == y.Columns && kernel.Columns == (long)k * k * d && kernel.Columns < int.MaxValue, "a kernel is not [width, k * k * d]");
            sizes[i] = k;
            kernels[i] = Of(kernel);
            Require(kernels[i].Layout == kernels[0].Layout, "the kernels are of several formats");
        }

        Spatial.Tokens(y, x, tiles, grid, mode, kernels, sizes, Scratch);
        Keep(destination, features, convolutions);
        if (trace is not null) TraceSpatialTokens(trace, y, x, tiles, grid, mode, sizes);
    }

    /// <inheritdoc/>
    public void DetailFusion(Tensor destination, Tensor tokens, Tensor features, int tiles, DetailFusionWeights weights, ITraceSink? trace)
    {
        CudaTensor y = Of(destination), t = Of(tokens), x = Of(features);
        CudaWeight kernel = Of(weights.Kernel);
        int grid = GridOf(x, tiles), width = t.Columns;
        Require(t.Rows % tiles == 0, "tokens are not a multiple of the tiles");
        Require(y.Rows == t.Rows && y.Columns == 2L * width, "destination is not [tokens, 2 * width]");
        Require(weights.KernelSize >= 1 && weights.KernelSize <= grid && weights.Stride >= 1, "kernel or stride does not fit the grid");
        Require(
            kernel.Rows == width && kernel.Columns == (long)weights.KernelSize * weights.KernelSize * x.Columns && kernel.Columns < int.MaxValue,
            "conv_CM is not [width, k * k * d]");
        RequireProjection(weights.Query, width);
        RequireProjection(weights.Key, width);
        RequireProjection(weights.Value, width);
        var size = new FusionSize(tiles, t.Rows / tiles, grid, x.Columns, weights.KernelSize, weights.Stride, width);

        FusionKernels.Plan plan = FusionKernels.Plan.For(size, kernel.ByteLength, _device.Multiprocessors);
        using Tensor normedQuery = Operand(size.AllTokens), normedKey = Operand(size.AllPositions), normedValue = Operand(size.AllPositions);
        using DeviceBlock? conv = trace is null ? null : Floats((long)size.AllPositions * width);
        using (DeviceBlock partial = Floats((long)plan.Splits * size.AllPositions * width))
        {
            Fusion.Conv(partial.Address, x, kernel, size, plan);
            Fusion.Normalise(
                conv?.Address ?? 0, Of(normedQuery), Of(normedKey), Of(normedValue), y, partial.Address, plan.Splits, t, size, weights);
        }

        using Tensor query = CreateTensor(size.AllTokens, width), key = CreateTensor(size.AllPositions, width), value = CreateTensor(size.AllPositions, width);
        Linear(query, normedQuery, weights.Query.Linear, new Epilogue(weights.Query.Bias));
        Linear(key, normedKey, weights.Key.Linear, new Epilogue(weights.Key.Bias));
        Linear(value, normedValue, weights.Value.Linear, new Epilogue(weights.Value.Bias));

        using DeviceBlock? logits = trace is null ? null : Floats((long)size.AllTokens * size.Positions);
        using DeviceBlock? probs = trace is null ? null : Floats((long)size.AllTokens * size.Positions);
        Fusion.Attention(y, Of(query), Of(key), Of(value), logits?.Address ?? 0, probs?.Address ?? 0, size);
        Keep(destination, tokens, features, weights);
        if (trace is not null) TraceFusion(trace, size, conv!, query, key, value, logits!, probs!, destination);

        Tensor Operand(int rows) => CreateTensor(rows, width, Precision.Operand);
        DeviceBlock Floats(long count) => _device.Allocate(count * sizeof(float), "the detail fusion");
    }

    private static bool IsVector(Tensor tensor, int length) => Of(tensor) is { Rows: 1, Element: Element.F32 } vector && vector.Columns == length;

    private static void RequireProjection(NormLinear weights, int width)
    {
        Require(
            IsVector(weights.NormWeight, width) && IsVector(weights.NormBias, width) && IsVector(weights.Bias, width), "norm or bias is not [1, width] float32",
            nameof(DetailFusion));
        Require(weights.Linear.Rows == width && weights.Linear.Columns == width, "a projection is not [width, width]", nameof(DetailFusion));
    }

    private static int GridOf(CudaTensor features, int tiles)
    {
        Require(tiles is >= 1 and <= 1024 && features.Rows % tiles == 0, "features are not a multiple of the tiles");
        int cells = features.Rows / tiles, grid = (int)Math.Round(Math.Sqrt(cells));
        Require(grid >= 1 && grid <= 4096 && grid * grid == cells, "patches are not a square grid");
        return grid;
    }

    private static void TraceSpatialTokens(ITraceSink trace, CudaTensor tokens, CudaTensor features, int tiles, int grid, SpatialMode mode, int[] sizes)
    {
        for (int tile = 0; tile < tiles; tile++)
        {
            for (int i = 0; i < sizes.Length; i++)
            {
                int k = sizes[i], cells = grid * grid;
                string pool = TraceNames.Tile(tiles, tile, $"sp.pool.{k}"), name = TraceNames.Tile(tiles, tile, $"sp.conv.{k}");
                if (mode == SpatialMode.Pooling && k != grid && trace.Wants(pool))
                    trace.Add(pool, Pool(features.Slice(tile * cells, cells).ToArray(), grid, k, features.Columns), features.Columns, k, k);
                if (trace.Wants(name)) trace.Add(name, tokens.Slice((tile * sizes.Length) + i, 1).ToArray(), tokens.Columns);
            }
        }
    }

    /// <summary>The pooled map [d, k, k], which no kernel leaves in memory.</summary>
    private static float[] Pool(float[] features, int grid, int k, int d)
    {
        var pooled = new float[d * k * k];
        for (int i = 0; i < k * k; i++)
        {
            int top = i / k * grid / k, bottom = ((((i / k) + 1) * grid) + k - 1) / k, left = i % k * grid / k, right = ((((i % k) + 1) * grid) + k - 1) / k;
            for (int c = 0; c < d; c++)
            {
                float sum = 0;
                for (int row = top; row < bottom; row++)
                    for (int column = left; column < right; column++)
                        sum += features[(((row * grid) + column) * d) + c];
                pooled[(c * k * k) + i] = sum / ((bottom - top) * (right - left));
            }
        }

        return pooled;
    }

    private void TraceFusion(
        ITraceSink trace, FusionSize size, DeviceBlock conv, Tensor query, Tensor key, Tensor value, DeviceBlock logits, DeviceBlock probs, Tensor destination)
    {
        int positions = size.Positions, count = size.Count, width = size.Width;
        for (int tile = 0; tile < size.Tiles; tile++)
        {
            string map = Name("sp.conv_CM");
            if (trace.Wants(map))
            {
                float[] cells = Download(conv, tile * positions * width, positions * width), transposed = new float[cells.Length];
                for (int i = 0; i < cells.Length; i++) transposed[(i % width * positions) + (i / width)] = cells[i];
                trace.Add(map, transposed, width, size.Side, size.Side);
            }

            AddRows(Name("sp.query"), query, tile * count, count);
            AddRows(Name("sp.key"), key, tile * positions, positions);
            AddRows(Name("sp.value"), value, tile * positions, positions);
            foreach ((string name, DeviceBlock block) in new[] { (Name("sp.attn_logits"), logits), (Name("sp.attn_probs"), probs) })
                if (trace.Wants(name)) trace.Add(name, Download(block, tile * count * positions, count * positions), count, positions);
            string output = Name("sp.attn_out");
            if (!trace.Wants(output)) continue;
            float[] rows = destination.Slice(tile * count, count).ToArray(), right = new float[count * width];
            for (int i = 0; i < count; i++) rows.AsSpan(((2 * i) + 1) * width, width).CopyTo(right.AsSpan(i * width));
            trace.Add(output, right, count, width);

            string Name(string name) => TraceNames.Tile(size.Tiles, tile, name);
        }

        void AddRows(string name, Tensor tensor, int first, int rows)
        {
            if (trace.Wants(name)) trace.Add(name, tensor.Slice(first, rows).ToArray(), rows, width);
        }

        float[] Download(DeviceBlock block, int first, int length)
        {
            var values = new float[length];
            _device.Download(values.AsSpan(), block.Address + ((ulong)first * sizeof(float)));
            return values;
        }
    }
}
