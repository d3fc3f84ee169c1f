using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Cli.Bench.Kernels;
using LlavaSp.Quantization;
using LlavaSp.Tests.Backends;
using LlavaSp.Tests.Backends.Cuda;

namespace LlavaSp.Tests.Bench;

/// <summary>The timing of single kernels, on whatever CUDA device there is: the emulator's events have times, too.</summary>
[Collection(nameof(CublasStub))]
public sealed class DeviceBenchTests
{
    [Fact]
    public void EveryCaseHasItsTimes()
    {
        using CudaBackend cuda = CudaTesting.Create();
        using var bench = new DeviceBench(cuda, runs: 3, leastMilliseconds: 0.2);
        long before = cuda.Device.Pool.UsedBytes;
        foreach (KernelCase kernel in (KernelCase[])[Copy(4, 64), Product(3, 64, 96, "f16"), Product(40, 64, 64, "int8")])
        {
            DeviceResult result = bench.Measure(kernel);
            Assert.InRange(result.Timing.Median, result.Timing.Min, result.Timing.Max);
            Assert.True(result.Timing.Min > 0);
            Assert.True(result.Launches >= result.Copies && result.Copies == 1, $"{result.Launches} launches of {result.Copies} copies");
            Assert.InRange(result.Occupancy, 1 / 64.0, 1);
            Assert.Equal(kernel.MinimumBytes / result.Timing.Median * 1e3, result.BytesPerSecond);
            Assert.True(result.ShareOfPeak(bench.Card) > 0);
            Assert.True(double.IsNaN(result.CublasRatio));
        }

        // The backend keeps some working memory; the cases' own is given back.
        cuda.CreateTensor(1, 1).Dispose();
        Assert.InRange(cuda.Device.Pool.UsedBytes - before, 0, 1 << 20);
    }

    [Fact]
    public void LaunchesOfACaseGiveItsResultWhateverCopyTheyTake()
    {
        using CudaBackend cuda = CudaTesting.Create();
        Tensor[] from = [.. Enumerable.Range(0, 3).Select(i => CpuTesting.Tensor(cuda, 1, 8, CpuTesting.Random(8, i)))];
        Tensor[] to = [.. from.Select(_ => cuda.CreateTensor(1, 8))];
        RecordedLaunch[] launches = [.. from.Zip(to).Select(pair => cuda.Record(() => cuda.Copy(pair.Second, pair.First)).Single())];
        foreach (Tensor tensor in to) tensor.Write(new float[8]);
        using var graph = new StepGraph(cuda.Device);
        graph.Build(launches, 2);
        graph.Replay();
        Assert.Equal(from[0].ToArray(), to[0].ToArray());
        Assert.Equal(from[1].ToArray(), to[1].ToArray());
        Assert.Equal(new float[8], to[2].ToArray());
        graph.Build(launches, 7);
        graph.Replay();
        Assert.Equal(from[2].ToArray(), to[2].ToArray());
        cuda.EndRecording();
        foreach (Tensor tensor in (Tensor[])[.. from, .. to]) tensor.Dispose();
    }

    [Fact]
    public void CopiesDriveEachOtherOutOfTheCache()
    {
        using CudaBackend cuda = CudaTesting.Create();
        using var bench = new DeviceBench(cuda, runs: 1);
        long cache = bench.Card.CacheBytes;
        Assert.Equal(1, bench.CopiesOf(Copy(1, 1)));
        Assert.Equal(1, bench.CopiesOf(Copy(1, 1) with { MinimumBytes = 2 * cache }));
        KernelCase half = Copy(1, 1) with { MinimumBytes = Math.Max(cache / 2.0, 2e6) };
        int copies = bench.CopiesOf(half);
        // While a copy waits for its turn the others pass.
        Assert.InRange((copies - 1) * half.MinimumBytes, 2 * cache, 3 * cache);
    }

    [Fact]
    public void TheYardstickIsLaidAgainstEqualsOnly()
    {
        CublasLibrary library = CublasStub.Load();
        ref CublasStub.State noted = ref CublasStub.Noted;
        // Device memory is not the host's to read.
        noted.Computes = 0;
        using CudaBackend cuda = CudaTesting.Create();
        using Cublas cublas = library.Open(cuda.Device.Stream.Value);
        using var bench = new DeviceBench(cuda, runs: 2, leastMilliseconds: 0.01, cublas);
        int before = noted.Products;
        DeviceResult result = bench.Measure(Product(3, 64, 96, "f16"));
        Assert.True(noted.Products >= before + 2 * result.Copies);
        Assert.Equal((64, 3, 96), (noted.M, noted.N, noted.K));
        Assert.True(result.CublasRatio > 0);
        Assert.Equal(cuda.Device.Stream.Value, noted.Stream);
        before = noted.Products;
        Assert.Null(bench.Measure(Product(40, 64, 64, "int8")).Cublas);
        Assert.Null(bench.Measure(Copy(1, 64)).Cublas);
        Assert.Equal(before, noted.Products);
    }

    [Theory]
    [InlineData("RTX 4090", 89, 2.52e9, true)]
    [InlineData("Jetson AGX Orin", 87, 1.3e9, false)]
    [InlineData("A100", 80, 1.41e9, false)]
    [InlineData("H100", 90, 1.83e9, false)]
    public void ComputedPeaksAreThoseOfTheDataSheets(string name, int computeCapability, double clock, bool geForce)
    {
        Card card = Card.All.Single(card => card.Name == name);
        double full = 2.0 * DeviceCard.TensorSums(computeCapability) * card.Multiprocessors * clock;
        Assert.InRange(full / (geForce ? 2 : 1) / card.F16, 0.99, 1.03);
        Assert.InRange(2 * full / card.Int8, 0.99, 1.03);
    }

    private static KernelCase Copy(int rows, int columns) => new("test", "copy_rows_f32_f32", $"copy {rows} x {columns}", "", 1)
    {
        Launches = 1,
        MinimumBytes = 8.0 * rows * columns,
        Prepare = backend =>
        {
            CudaTensor y = backend.CreateFilledTensor(rows, columns), x = backend.CreateFilledTensor(rows, columns);
            return new PreparedCase(backend, "copy_rows_f32_f32", () => backend.Copy(y, x), y, x);
        },
    };

    private static KernelCase Product(int m, int n, int k, string weights)
    {
        WeightFormat format = WeightFormat.Parse(weights);
        // The form depends on the device's SMs.
        using CudaBackend device = CudaTesting.Create();
        bool int8Mma = format.Kind == WeightKind.Int8;
        string kernel = LinearPlan.Choose(m, n, device.Device.Multiprocessors, int8Mma, gated: false).KernelName(format.Kind, format.GroupSize, int8Mma);
        return new KernelCase("test", kernel, $"product {m} x {n} x {k}", weights, 1)
        {
            Launches = 1,
            MinimumBytes = n * format.RowBytes(k),
            Operations = 2.0 * m * n * k,
            Unit = ArithmeticUnit.TensorF16,
            Product = new MatrixProduct(m, n, k),
            Prepare = backend =>
            {
                CudaWeight weight = backend.CreateEmptyWeight(n, k, format, int8Mma);
                CudaTensor y = backend.CreateFilledTensor(m, n), x = backend.CreateFilledTensor(m, k, Precision.Operand);
                return new PreparedCase(backend, kernel, () => backend.Product(y, x, weight, default, null, gated: false, null), weight, y, x);
            },
        };
    }
}
