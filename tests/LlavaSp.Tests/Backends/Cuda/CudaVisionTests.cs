using System.Runtime.InteropServices;
using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Backends.Cuda.Driver;
using LlavaSp.Quantization;
using static LlavaSp.Tests.Backends.CpuTesting;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>
/// Patch embedding, spatial tokens and detail fusion against the reference. Features and pixel values are halves, so only sums and pooled means round
/// differently.
/// </summary>
public sealed class CudaVisionTests
{
    private static readonly int[] PublishedSizes = [4, 8, 12, 16, 20, 24];
    private static readonly int[] SmallSizes = [2, 4, 6];

    /// <summary>Formats that the device has; every group size.</summary>
    private static readonly WeightFormat[] Formats =
        [WeightFormat.F16, WeightFormat.Int8(32), WeightFormat.Int8(), WeightFormat.Int4(32), WeightFormat.Int4(64), WeightFormat.Int4(128)];

    [Theory]
    [InlineData(14, 56, 64, 1)]
    [InlineData(6, 24, 37, 2)]
    [InlineData(6, 29, 48, 3)]
    [InlineData(1, 3, 5, 1)]
    public void PatchEmbeddingAgrees(int patch, int size, int d, int tiles)
    {
        foreach (WeightFormat format in Formats) ComparePatches(patch, size, d, tiles, format, Precision.Full);
        ComparePatches(patch, size, d, tiles, WeightFormat.Int8(), Precision.Full, int8: true);
        ComparePatches(patch, size, d, tiles, WeightFormat.F16, Precision.Operand);
    }

    /// <summary>A row that is too long for shared memory gets its LayerNorm in a launch of its own.</summary>
    [Fact]
    public void LongRowsOfThePatchEmbeddingAgree() => ComparePatches(6, 12, 8200, 1, WeightFormat.F16, Precision.Full);

    [Theory]
    [InlineData(SpatialMode.Pooling, true)]
    [InlineData(SpatialMode.Cropping, false)]
    public void SpatialTokensOfASmallGridAgree(SpatialMode mode, bool int8)
    {
        using CudaPair pair = new(int8);
        foreach (int d in new[] { 16, 32, 39, 64 })
        {
            foreach (int tiles in new[] { 1, 2, 5, 9 })
            {
                foreach (int width in new[] { 16, 19, 64 })
                    foreach (WeightFormat format in Formats)
                        CompareTokens(pair, 6, SmallSizes, d, width, tiles, mode, format);
            }
        }
    }

    [Theory]
    [InlineData(SpatialMode.Pooling, 16, 64, 1)]
    [InlineData(SpatialMode.Pooling, 39, 19, 2)]
    [InlineData(SpatialMode.Pooling, 64, 16, 9)]
    [InlineData(SpatialMode.Cropping, 32, 64, 5)]
    [InlineData(SpatialMode.Cropping, 39, 16, 1)]
    [InlineData(SpatialMode.Cropping, 64, 19, 2)]
    public void SpatialTokensOfThePublishedSizesAgree(SpatialMode mode, int d, int width, int tiles)
    {
        using CudaPair pair = new();
        foreach (WeightFormat format in new[] { WeightFormat.F16, WeightFormat.Int8(), WeightFormat.Int4() })
            CompareTokens(pair, 24, PublishedSizes, d, width, tiles, mode, format);
    }

    /// <summary>More rows than one block has, kernels larger than the grid, one convolution.</summary>
    [Fact]
    public void UnusualSpatialTokensAgree()
    {
        using CudaPair pair = new();
        CompareTokens(pair, 4, [3], 24, 700, 1, SpatialMode.Cropping, WeightFormat.Int4());
        CompareTokens(pair, 4, [7, 1, 5], 8, 1025, 3, SpatialMode.Pooling, WeightFormat.F16);
        CompareTokens(pair, 5, [.. Enumerable.Range(0, 64).Select(i => (i % 5) + 1)], 3, 8, 2, SpatialMode.Cropping, WeightFormat.Int8(64));
    }

    /// <summary>Convolutions in bf16 beside features in bf16 or float32: the widths, tiles and forms of the others, and the published sizes.</summary>
    [Theory]
    [InlineData(SpatialMode.Pooling)]
    [InlineData(SpatialMode.Cropping)]
    public void SpatialTokensInBrainFloatsAgree(SpatialMode mode)
    {
        using CudaPair pair = new(operand: Element.BF16);
        foreach ((int d, int width, int tiles) in new[] { (16, 16, 1), (39, 19, 2), (64, 64, 9) })
        {
            CompareTokens(pair, 6, SmallSizes, d, width, tiles, mode, WeightFormat.BF16);
            CompareTokens(pair, 6, SmallSizes, d, width, tiles, mode, WeightFormat.BF16, Precision.Full);
        }

        CompareTokens(pair, 24, PublishedSizes, 64, 16, 2, mode, WeightFormat.BF16);
    }

    [Theory]
    [MemberData(nameof(Fusions))]
    public void DetailFusionInBrainFloatsAgrees(int grid, int d, int width, int kernel, int stride, int count, int tiles)
    {
        new FusionCase(grid, d, width, kernel, stride, count, tiles, WeightFormat.BF16).Compare(3.2e-2f);
        var damaged = new FusionCase(grid, d, width, kernel, stride, count, tiles, WeightFormat.BF16);
        damaged.Features[5] = float.NaN;
        damaged.Tokens[0] = float.NaN;
        damaged.Tokens[^1] = float.PositiveInfinity;
        damaged.Compare(3.2e-2f);
    }

    [Theory]
    [MemberData(nameof(Fusions))]
    public void DetailFusionAgrees(int grid, int d, int width, int kernel, int stride, int count, int tiles)
    {
        foreach (WeightFormat format in Formats) new FusionCase(grid, d, width, kernel, stride, count, tiles, format).Compare(4e-3f);
        new FusionCase(grid, d, width, kernel, stride, count, tiles, WeightFormat.Int8()).Compare(4e-3f, int8: true);
    }

    public static TheoryData<int, int, int, int, int, int, int> Fusions() => new()
    {
        { 6, 64, 64, 4, 2, 3, 1 },    // cells, one tile
        { 6, 64, 19, 4, 2, 3, 9 },    // cells, eight tiles in a pass, and one
        { 24, 64, 16, 16, 2, 6, 2 },  // cells of the published sizes, two tiles in a wide pass
        { 24, 64, 32, 16, 2, 6, 5 },  // as above, an odd number of tiles
        { 10, 128, 40, 3, 3, 2, 1 },  // kernel and stride equal: one cell for every position of a class
        { 8, 64, 144, 5, 1, 4, 2 },   // stride 1
        { 9, 64, 24, 2, 4, 1, 2 },    // gaps between the windows
        { 12, 64, 16, 3, 1, 2, 1 },   // 100 positions: too many for cells
        { 8, 39, 19, 4, 2, 4, 2 },    // columns, odd channels
        { 6, 16, 16, 4, 2, 6, 5 },    // columns, several tiles
        { 6, 32, 64, 6, 2, 6, 1 },    // one position
    };

    [Fact]
    public void DetailFusionClearsWhatIsNotANumber()
    {
        foreach ((int d, int width) in new[] { (64, 32), (24, 19) })
        {
            foreach (WeightFormat format in new[] { WeightFormat.F16, WeightFormat.Int4() })
            {
                var damaged = new FusionCase(8, d, width, 4, 2, 6, 2, format);
                damaged.Features[5] = float.NaN;
                damaged.Features[^9] = float.PositiveInfinity;
                damaged.Tokens[0] = float.NaN;
                damaged.Tokens[(2 * width) + 3] = float.PositiveInfinity;
                damaged.Tokens[(2 * width) + 5] = float.NegativeInfinity;
                damaged.Tokens.AsSpan(3 * width, width).Fill(float.NaN);
                damaged.Tokens.AsSpan(7 * width, width).Fill(float.NegativeInfinity);
                damaged.Compare(4e-3f);

                // NaN in every query: all logits are cleared, the positions count the same.
                damaged.QueryBias = float.NaN;
                damaged.Compare(4e-3f, clearedLogits: true);
            }
        }
    }

    /// <summary>The same bits in every run, and in whatever order the blocks run.</summary>
    [Fact]
    public unsafe void ResultsAreTheSameBitsInAnyOrder()
    {
        using CudaBackend backend = CudaTesting.Create();
        Assert.SkipUnless(backend.Info.Device == "cuda-emulator", "the order of blocks can be chosen on the emulator only");
        nint library = NativeLibrary.Load(CudaLibrary.Open(emulator: true).Path);
        var setOrder = (delegate* unmanaged<int, uint, void>)NativeLibrary.GetExport(library, "lspEmulatorSetOrder");
        int[][]? first = null;
        try
        {
            foreach ((int order, uint seed) in new[] { (0, 0u), (0, 0u), (1, 0u), (2, 1u), (2, 2u) })
            {
                setOrder(order, seed);
                using Tensor tokens = Tokens(backend, 24, PublishedSizes, 32, 48, 2, SpatialMode.Pooling, WeightFormat.Int4());
                using Tensor fused = new FusionCase(24, 64, 40, 16, 2, 6, 3, WeightFormat.Int8()).Run(backend, null);
                using Tensor embedded = Patches(backend, 6, 24, 40, 2, WeightFormat.F16, Precision.Full);
                int[][] bits = [Bits(tokens), Bits(fused), Bits(embedded)];
                first ??= bits;
                for (int i = 0; i < bits.Length; i++) Assert.Equal(first[i], bits[i]);
            }
        }
        finally
        {
            setOrder(0, 0);
        }

        static int[] Bits(Tensor tensor) => Array.ConvertAll(tensor.ToArray(), BitConverter.SingleToInt32Bits);
    }

    /// <summary>The published model on 128 SMs: every SM has a block, and partial sums stay below a twentieth of the weights, in whatever format.</summary>
    [Fact]
    public void PartialSumsOfThePublishedFusionAreBounded()
    {
        var size = new FusionSize(1, 6, 24, 1024, 16, 2, 512);
        foreach (long bytes in new[] { 268_435_456L, 138_412_032L, 69_206_016L })
        {
            FusionKernels.Plan plan = FusionKernels.Plan.For(size, bytes, 128);
            Assert.True(plan is { Cells: true, Columns: 32, Passes: 1, Splits: 32 }, plan.ToString());
            Assert.True(2L * plan.Splits * size.AllPositions * size.Width * sizeof(float) <= bytes / 20, plan.ToString());
        }

        Assert.True(FusionKernels.Plan.For(size with { Tiles = 5 }, 69_206_016, 128) is { Cells: true, Columns: 64, Passes: 3, SharedBytes: <= 48 << 10 });
    }

    private static void ComparePatches(int patch, int size, int d, int tiles, WeightFormat format, Precision precision, bool int8 = false)
    {
        using CudaPair pair = new(int8);
        using Tensor expected = Patches(pair.Reference, patch, size, d, tiles, format, precision);
        using Tensor actual = Patches(pair.Cuda, patch, size, d, tiles, format, precision);
        Near(expected.ToArray(), actual.ToArray(), precision == Precision.Full ? 5e-5f : 4e-3f, $"patch {patch}, d {d}, {format}");
    }

    private static Tensor Patches(IBackend backend, int patch, int size, int d, int tiles, WeightFormat format, Precision precision)
    {
        int side = size / patch, n = side * side, k = 3 * patch * patch;
        var bytes = new byte[tiles * 3 * size * size];
        new Random(1).NextBytes(bytes);
        var pixels = new TilePixels(tiles, size, bytes, Halves(768, 2));
        using Weight weight = backend.CreateWeight(new MatrixSource(d, k, Random(d * k, 3)), format);
        using Tensor classToken = Tensor(backend, 1, d, Random(d, 4)), positions = Tensor(backend, n + 1, d, Random((n + 1) * d, 5));
        using Tensor normWeight = Tensor(backend, 1, d, Random(d, 6)), normBias = Tensor(backend, 1, d, Random(d, 7));
        Tensor y = backend.CreateTensor(tiles * (n + 1), d, precision);
        backend.PatchEmbedding(y, pixels, new PatchEmbeddingWeights(weight, classToken, positions, normWeight, normBias, 1e-5f, patch, size));
        return y;
    }

    private static void CompareTokens(
        CudaPair pair, int grid, int[] sizes, int d, int width, int tiles, SpatialMode mode, WeightFormat format, Precision precision = Precision.Operand)
    {
        var traces = new TraceList[] { new(), new() };
        using Tensor expected = Tokens(pair.Reference, grid, sizes, d, width, tiles, mode, format, traces[0], precision);
        using Tensor actual = Tokens(pair.Cuda, grid, sizes, d, width, tiles, mode, format, traces[1], precision);

        // Outputs are of size 1; a pooled mean, or a feature in float32, is rounded to a half or a bfloat16, which is eight times coarser.
        float tolerance = mode == SpatialMode.Pooling || precision == Precision.Full ? 2e-3f * (format == WeightFormat.BF16 ? 8 : 1) : 3e-5f;
        Near(expected.ToArray(), actual.ToArray(), tolerance, $"{mode}, grid {grid}, d {d}, width {width}, {tiles} tiles, {format}");
        traces[0].AssertSame(traces[1], tolerance);
    }

    private static Tensor Tokens(
        IBackend backend, int grid, int[] sizes, int d, int width, int tiles, SpatialMode mode, WeightFormat format, ITraceSink? trace = null,
        Precision precision = Precision.Operand)
    {
        // Sizes may occur twice, which a trace may not have.
        if (sizes.Distinct().Count() < sizes.Length) trace = null;
        SpatialConvolution[] convolutions = [.. sizes.Select((k, i) => new SpatialConvolution(
            k, backend.CreateWeight(new MatrixSource(width, k * k * d, Random(width * k * k * d, (17 * i) + k, 1 / MathF.Sqrt(k * k * d))), format)))];
        using Tensor features = CudaTesting.Tensor(backend, precision, tiles * grid * grid, d, Random(tiles * grid * grid * d, 8), OperandOf(format));
        Tensor y = backend.CreateTensor(tiles * sizes.Length, width);
        backend.SpatialTokens(y, features, tiles, mode, convolutions, trace);
        foreach (SpatialConvolution convolution in convolutions) convolution.Kernel.Dispose();
        return y;
    }

    private static Element OperandOf(WeightFormat format) => format == WeightFormat.BF16 ? Element.BF16 : Element.F16;

    private static float[] Halves(int count, int seed) => Array.ConvertAll(Random(count, seed), static x => (float)(Half)x);

    /// <summary>One detail fusion with random weights.</summary>
    private sealed class FusionCase(int grid, int d, int width, int kernel, int stride, int count, int tiles, WeightFormat format)
    {
        public float[] Features { get; } = Random(tiles * grid * grid * d, 1);

        public float[] Tokens { get; } = Random(tiles * count * width, 2);

        public float? QueryBias { get; set; }

        public void Compare(float tolerance, bool clearedLogits = false, bool int8 = false)
        {
            using CudaPair pair = new(int8, OperandOf(format));
            var traces = new TraceList[] { new(), new() };
            using Tensor expected = Run(pair.Reference, traces[0]), actual = Run(pair.Cuda, traces[1]), untraced = Run(pair.Cuda, null);
            string what = $"grid {grid}, d {d}, width {width}, kernel {kernel}/{stride}, {tiles} tiles, {format}";
            Near(expected.ToArray(), actual.ToArray(), tolerance, what);
            Assert.Equal(actual.ToArray(), untraced.ToArray());
            if (clearedLogits) traces.ToList().ForEach(static trace => trace.AssertAllNaN("sp.query"));
            traces[0].AssertSame(traces[1], tolerance, clearedLogits ? "sp.query" : null);
            Assert.Equal(7 * tiles, traces[0].Count);
        }

        public Tensor Run(IBackend backend, ITraceSink? trace)
        {
            int k = kernel * kernel * d;
            var owned = new List<IDisposable>();
            Weight conv = Own(backend.CreateWeight(new MatrixSource(width, k, Random(width * k, 3, 1 / MathF.Sqrt(k))), format));
            Tensor features = Own(CudaTesting.Tensor(backend, Precision.Operand, tiles * grid * grid, d, Features, OperandOf(format)));
            Tensor tokens = Own(Tensor(backend, tiles * count, width, Tokens));
            Tensor y = backend.CreateTensor(tiles * count, 2 * width);
            backend.DetailFusion(
                y, tokens, features, tiles, new DetailFusionWeights(kernel, stride, conv, Projection(10, QueryBias), Projection(20), Projection(30), 1e-5f),
                trace);
            owned.ForEach(static o => o.Dispose());
            return y;

            T Own<T>(T value)
                where T : IDisposable
            {
                owned.Add(value);
                return value;
            }

            NormLinear Projection(int seed, float? bias = null)
            {
                float[] biases = Random(width, seed + 3);
                if (bias is not null) biases.AsSpan().Fill(bias.Value);
                return new NormLinear(
                    Own(Tensor(backend, 1, width, Random(width, seed, 0.5f))), Own(Tensor(backend, 1, width, Random(width, seed + 1, 0.5f))),
                    Own(backend.CreateWeight(
                        new MatrixSource(width, width, Random(width * width, seed + 2, 1 / MathF.Sqrt(width))), format.IsInteger ? WeightFormat.F16 : format)),
                    Own(Tensor(backend, 1, width, biases)));
            }
        }
    }

    /// <summary>Keeps what it is given.</summary>
    private sealed class TraceList : ITraceSink
    {
        private readonly Dictionary<string, (float[] Values, long[] Shape)> _tensors = [];

        public int Count => _tensors.Count;

        public bool Wants(string name) => true;

        public void Add(string name, ReadOnlySpan<float> values, params ReadOnlySpan<long> shape) => _tensors.Add(name, (values.ToArray(), shape.ToArray()));

        public void AssertAllNaN(string name)
        {
            foreach ((string key, (float[] values, long[] _)) in _tensors)
                if (key.EndsWith(name, StringComparison.Ordinal)) Assert.All(values, static x => Assert.True(float.IsNaN(x)));
        }

        public void AssertSame(TraceList other, float tolerance, string? except = null)
        {
            Assert.Equal(_tensors.Keys.Order(), other._tensors.Keys.Order());
            foreach ((string name, (float[] values, long[] shape)) in _tensors)
            {
                Assert.Equal(shape, other._tensors[name].Shape);
                if (except is null || !name.EndsWith(except, StringComparison.Ordinal)) Near(values, other._tensors[name].Values, tolerance, name);
            }
        }
    }
}
