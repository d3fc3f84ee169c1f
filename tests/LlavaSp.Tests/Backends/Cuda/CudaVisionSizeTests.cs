using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Backends.Cuda.Driver;
using LlavaSp.Quantization;
using static LlavaSp.Tests.Backends.CpuTesting;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>The vision stages with the channels, the grid and the kernels of the published model (fewer rows or kernels), and what they move there.</summary>
// Alone: the emulator counts, or leaves out, what anybody launches meanwhile.
[Collection("alone")]
public sealed class CudaVisionSizeTests
{
    private const int Grid = 24, Depth = 1024, Width = 512, Multiprocessors = 128;
    private const long Cache = 4 << 20;

    [Theory]
    [InlineData(SpatialMode.Pooling, WeightKind.Int4)]
    [InlineData(SpatialMode.Cropping, WeightKind.Int8)]
    public void SpatialTokensAgreeAndMoveWhatTheyMust(SpatialMode mode, WeightKind kind)
    {
        const int width = 512;
        int[] sizes = [4, 8];
        var format = new WeightFormat(kind, 128);
        float[] features = Random(Grid * Grid * Depth, 1);
        long weightBytes = 0;
        float[] Run(IBackend backend)
        {
            SpatialConvolution[] convolutions = [.. sizes.Select(k => new SpatialConvolution(k, Weight(backend, width, k, format)))];
            weightBytes = convolutions.Sum(static c => c.Kernel.ByteLength);
            using Tensor x = CudaTesting.Tensor(backend, Precision.Operand, Grid * Grid, Depth, features);
            using Tensor y = backend.CreateTensor(sizes.Length, width);
            backend.SpatialTokens(y, x, 1, mode, convolutions, null);
            return y.ToArray();
        }

        using CudaPair pair = new();
        float[] expected = Run(pair.Reference);
        float[] actual = [];
        IReadOnlyDictionary<string, KernelCount> counts = EmulatorCounts.Of(pair, () => actual = Run(pair.Cuda));
        Near(expected, actual, mode == SpatialMode.Pooling ? 2e-3f : 3e-5f, $"{mode} {kind}");

        KernelCount stream = counts["spatial_tokens_" + (kind == WeightKind.Int4 ? "int4" : "int8")];
        TestContext.Current.TestOutputHelper?.WriteLine($"{weightBytes} bytes of weights: {stream}");
        Assert.True(stream.LoadLeastSectors >= 0.95 * stream.LoadSectors, stream.ToString());
        Assert.True(stream.SharedWavefronts == stream.SharedLeastWavefronts, stream.ToString());

        // Every weight once, every sector of the features once, a table: nothing else.
        double least = weightBytes + (2.0 * Grid * Grid * Depth);
        Assert.InRange(32.0 * stream.LoadDifferentSectors, weightBytes, 1.05 * least);
    }

    [Theory]
    [InlineData(WeightKind.F16)]
    [InlineData(WeightKind.Int4)]
    public void DetailFusionAgreesAndMovesWhatItMust(WeightKind kind)
    {
        const int width = 128, count = 6, kernel = 16;
        WeightFormat format = kind == WeightKind.F16 ? WeightFormat.F16 : new WeightFormat(kind, 128);
        float[] features = Random(Grid * Grid * Depth, 1), tokens = Random(count * width, 2);
        long weightBytes = 0;
        float[] Run(IBackend backend)
        {
            using Weight conv = Weight(backend, width, kernel, format), linear = backend.CreateWeight(
                new MatrixSource(width, width, Random(width * width, 5, 1 / MathF.Sqrt(width))), WeightFormat.F16);
            weightBytes = conv.ByteLength;
            Tensor Vector(int seed) => Tensor(backend, 1, width, Random(width, seed));
            NormLinear projection = new(Vector(6), Vector(7), linear, Vector(8));
            using Tensor x = CudaTesting.Tensor(backend, Precision.Operand, Grid * Grid, Depth, features), t = Tensor(backend, count, width, tokens);
            using Tensor y = backend.CreateTensor(count, 2 * width);
            backend.DetailFusion(y, t, x, 1, new DetailFusionWeights(kernel, 2, conv, projection, projection, projection, 1e-5f), null);
            return y.ToArray();
        }

        using CudaPair pair = new();
        float[] expected = Run(pair.Reference);
        float[] actual = [];
        IReadOnlyDictionary<string, KernelCount> counts = EmulatorCounts.Of(pair, () => actual = Run(pair.Cuda));
        Near(expected, actual, 8e-3f, $"{kind}");

        KernelCount conv = counts["fusion_conv_cells32_" + (kind == WeightKind.F16 ? "f16" : "int4")];
        TestContext.Current.TestOutputHelper?.WriteLine($"{weightBytes} bytes of weights: {conv}");
        Assert.True(conv.LoadLeastSectors >= 0.95 * conv.LoadSectors, conv.ToString());
        Assert.True(conv.SharedWavefronts <= 1.01 * conv.SharedLeastWavefronts, conv.ToString());
        Assert.InRange(32.0 * conv.LoadDifferentSectors, weightBytes, 1.05 * (weightBytes + (2.0 * Grid * Grid * Depth)));
    }

    /// <summary>
    /// All six kernels, 763 M weights, on 128 SMs with a second cache of 4 MB: what passes between it and memory is at most a twentieth more than weights,
    /// features and tokens, the sum of the pieces included. One block in eight is run; the weights are whatever memory holds.
    /// </summary>
    [Theory]
    [InlineData(SpatialMode.Pooling, WeightKind.F16)]
    [InlineData(SpatialMode.Pooling, WeightKind.Int8)]
    [InlineData(SpatialMode.Pooling, WeightKind.Int4)]
    [InlineData(SpatialMode.Cropping, WeightKind.F16)]
    [InlineData(SpatialMode.Cropping, WeightKind.Int8)]
    [InlineData(SpatialMode.Cropping, WeightKind.Int4)]
    public void AllKernelsAreStreamedFromMemoryOnce(SpatialMode mode, WeightKind kind)
    {
        using CudaPair pair = new(multiprocessors: Multiprocessors);
        int[] sizes = [4, 8, 12, 16, 20, 24];
        SpatialConvolution[] convolutions = [.. sizes.Select(k => new SpatialConvolution(k, Unwritten(pair, Width, k * k * Depth, kind)))];
        using Tensor x = CudaTesting.Tensor(pair.Cuda, Precision.Operand, Grid * Grid, Depth, new float[Grid * Grid * Depth]);
        using Tensor y = pair.Cuda.CreateTensor(sizes.Length, Width);
        IReadOnlyDictionary<string, KernelCount> counts = EmulatorCounts.Of(pair, () => pair.Cuda.SpatialTokens(y, x, 1, mode, convolutions, null), Cache, blocks: 32);
        long least = convolutions.Sum(static c => c.Kernel.ByteLength) + (sizeof(ushort) * Grid * Grid * Depth) + (sizeof(float) * sizes.Length * Width);
        double stream = counts[$"spatial_tokens_{NameOf(kind)}"].MemoryBytesOfAllBlocks, sum = counts["spatial_tokens_sum"].MemoryBytesOfAllBlocks;
        foreach (SpatialConvolution convolution in convolutions) convolution.Kernel.Dispose();
        Moved($"{mode} {kind}", least, stream + sum);
    }

    /// <summary>conv_CM, 134 M weights, in the same way: all its blocks, and the sum of its splits.</summary>
    [Theory]
    [InlineData(WeightKind.F16)]
    [InlineData(WeightKind.Int8)]
    [InlineData(WeightKind.Int4)]
    public void ConvCMIsStreamedFromMemoryOnce(WeightKind kind)
    {
        const int count = 6, kernel = 16, positions = 25;
        using CudaPair pair = new(multiprocessors: Multiprocessors);
        CudaBackend cuda = pair.Cuda;
        using CudaWeight conv = Unwritten(pair, Width, kernel * kernel * Depth, kind), linear = Unwritten(pair, Width, Width, WeightKind.F16);
        using Tensor vector = Tensor(cuda, 1, Width, new float[Width]), t = Tensor(cuda, count, Width, new float[count * Width]);
        using Tensor x = CudaTesting.Tensor(cuda, Precision.Operand, Grid * Grid, Depth, new float[Grid * Grid * Depth]), y = cuda.CreateTensor(count, 2 * Width);
        NormLinear projection = new(vector, vector, linear, vector);
        var weights = new DetailFusionWeights(kernel, 2, conv, projection, projection, projection, 1e-5f);
        IReadOnlyDictionary<string, KernelCount> counts = EmulatorCounts.Of(pair, () => cuda.DetailFusion(y, t, x, 1, weights, null), Cache);

        // Tokens in, and out to their half of y and to the query; keys and values out.
        const int rows = (count * (4 + 4 + 2)) + (positions * 2 * sizeof(ushort));
        long least = conv.ByteLength + (sizeof(ushort) * Grid * Grid * Depth) + (rows * Width);
        Moved($"conv_CM {kind}", least, counts[$"fusion_conv_cells32_{NameOf(kind)}"].MemoryBytesOfAllBlocks + counts["fusion_normalise"].MemoryBytesOfAllBlocks);
    }

    private static void Moved(string what, long least, double moved)
    {
        TestContext.Current.TestOutputHelper?.WriteLine($"{what}: {moved / 1e6:f1} MB, {moved / least:f4} of the least");
        Assert.InRange(moved, 0.98 * least, 1.05 * least);
    }

    private static string NameOf(WeightKind kind) => kind.ToString().ToLowerInvariant();

    /// <summary>A weight of any numbers.</summary>
    private static CudaWeight Unwritten(CudaPair pair, int rows, int columns, WeightKind kind)
    {
        WeightFormat format = kind == WeightKind.F16 ? WeightFormat.F16 : new WeightFormat(kind, 128);
        return pair.Cuda.CreateEmptyWeight(rows, columns, format, int8Mma: false);
    }

    private static Weight Weight(IBackend backend, int width, int k, WeightFormat format) =>
        backend.CreateWeight(new HashedSource(width, k * k * Depth, k, 1 / MathF.Sqrt(k * k * Depth)), format);

    /// <summary>Numbers between -2 scale and 2 scale that nobody has to keep.</summary>
    private sealed class HashedSource(int rows, int columns, int seed, float scale) : WeightSource
    {
        public override string Name => "test.hashed";

        public override long Rows => rows;

        public override long Columns => columns;

        public override void ReadRows(long first, int count, Span<float> destination)
        {
            ulong state = ((ulong)first * 0x9E3779B97F4A7C15) + (ulong)seed;
            for (int row = 0; row < count; row++)
            {
                state = ((ulong)(first + row + 1) * 0x9E3779B97F4A7C15) ^ (ulong)seed;
                foreach (ref float x in destination.Slice(row * columns, columns))
                {
                    state = (state * 6364136223846793005) + 1442695040888963407;
                    x = scale * ((int)(state >> 32) / (float)(1 << 30));
                }
            }
        }
    }
}
