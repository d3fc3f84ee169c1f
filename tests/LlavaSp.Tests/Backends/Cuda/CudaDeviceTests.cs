using System.Runtime.InteropServices;
using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Backends.Cuda.Driver;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>Opening devices, device memory, launches: what lies under the operations.</summary>
public sealed class CudaDeviceTests
{
    [Fact]
    public void TheBackendSaysWhatItIs()
    {
        using CudaBackend cuda = CudaTesting.Create();
        Assert.Equal(CudaTesting.Device.Split(':')[0], cuda.Info.Device);
        Assert.StartsWith($"sm_{cuda.Device.ComputeCapability} ", cuda.Info.InstructionSet, StringComparison.Ordinal);
        Assert.True(cuda.Info.Threads > 0);
        Assert.False(((IBackend)cuda).Holds(KvFormat.F32));
        Assert.True(((IBackend)cuda).Holds(KvFormat.Int8));
    }

    [Fact]
    public void AMissingGpuIsRefusedWithWhatWasFound()
    {
        if (CudaBackend.IsAvailable(out string problem)) return;
        Assert.NotEqual("", problem);
        DeviceException thrown = Assert.Throws<DeviceException>(() => BackendFactory.Create(new DeviceOptions("cuda")));
        Assert.Matches("not found|cuInit says CUDA_|no kernels for GPUs", thrown.Message);
        Assert.DoesNotContain('\n', thrown.Message);
        using IBackend auto = BackendFactory.Create(new DeviceOptions("auto"));
        Assert.DoesNotContain("cuda", auto.Info.Device, StringComparison.Ordinal);
        foreach (string wrong in new[] { "cuda:x", "cuda:", "cuda:-1", "cuda-emulator:1", "cudax" })
            Assert.Throws<DeviceException>(() => BackendFactory.Create(new DeviceOptions(wrong)));
    }

    [Fact]
    public void ADeviceThatIsNotThereIsNamed()
    {
        using CudaBackend cuda = CudaTesting.Create();
        DeviceException thrown = Assert.Throws<DeviceException>(() => new CudaDevice(cuda.Device.Driver, 99));
        Assert.Contains("no device 99", thrown.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void FailedCallsSayWhatWasBeingDone()
    {
        using CudaBackend cuda = CudaTesting.Create();
        CudaException missing = Assert.Throws<CudaException>(() => cuda.Module.Find<OneAddress>("no_such_kernel"));
        const string Expected = "cuModuleGetFunction failed while looking for kernel no_such_kernel: CUDA_ERROR_NOT_FOUND (";
        Assert.StartsWith(Expected, missing.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ArgumentStructsAreLaidOutFieldByField()
    {
        using CudaBackend cuda = CudaTesting.Create();
        // Every table of kernels is made by the first operation that needs it.
        using Tensor one = cuda.CreateTensor(1, 8);
        cuda.Copy(one, one);
        cuda.CreateWeight(new MatrixSource(1, 1, [1]), Quantization.WeightFormat.F16).Dispose();
        Assert.NotEmpty(cuda.Module.Kernels);
        foreach ((string name, Type type) in cuda.Module.Kernels)
        {
            foreach ((string field, int offset, _) in Kernel.Parameters(type))
                Assert.True(Marshal.OffsetOf(type, field) == offset, $"{name}: {field} lies at {Marshal.OffsetOf(type, field)}, not {offset}");
        }
    }

    [Fact]
    public void FreedBlocksComeBackAndNeighboursJoin()
    {
        using CudaBackend cuda = CudaTesting.Create();
        using var pool = new DevicePool(cuda.Device.Context, cuda.Device.Stream, 1 << 20);
        DeviceBlock a = pool.Allocate(1000, "a"), b = pool.Allocate(1, "b"), c = pool.Allocate(5000, "c");
        Assert.All(new[] { a, b, c }, block => Assert.Equal(0ul, block.Address % 256));
        Assert.Equal((1024ul, 1280ul), (b.Address - a.Address, c.Address - a.Address));
        Assert.Equal(1024 + 256 + 5120, pool.UsedBytes);
        ulong start = a.Address, middle = b.Address;
        b.Dispose();
        using (DeviceBlock again = pool.Allocate(200, "again")) Assert.Equal(middle, again.Address);
        a.Dispose();
        using (DeviceBlock joined = pool.Allocate(1280, "joined")) Assert.Equal(start, joined.Address);
        c.Dispose();
        using (DeviceBlock whole = pool.Allocate(1 << 20, "whole")) Assert.Equal(start, whole.Address);
        Assert.Equal((0, 1 << 20, 1 << 20), (pool.UsedBytes, pool.HeldBytes, pool.PeakBytes));
        Assert.Throws<ObjectDisposedException>(() => a.Address);

        // A large one has a segment to itself, which small ones do not creep into.
        DeviceBlock large = pool.Allocate(3 << 20, "large");
        ulong place = large.Address;
        large.Dispose();
        using DeviceBlock small = pool.Allocate(10, "small"), nearly = pool.Allocate(2 << 20, "nearly as large");
        Assert.Equal((start, place), (small.Address, nearly.Address));
        Assert.Equal(4 << 20, pool.PeakBytes);
    }

    [Fact]
    public void RandomAllocationsNeverOverlap()
    {
        using CudaBackend cuda = CudaTesting.Create();
        using var pool = new DevicePool(cuda.Device.Context, cuda.Device.Stream, 1 << 16);
        var random = new Random(1);
        var live = new List<DeviceBlock>();
        for (int i = 0; i < 3000; i++)
        {
            if (live.Count > 20 || (live.Count > 0 && random.Next(2) == 0))
            {
                int index = random.Next(live.Count);
                live[index].Dispose();
                live.RemoveAt(index);
                continue;
            }

            DeviceBlock block = pool.Allocate(random.Next(1, 20000), "a block");
            Assert.All(live, other => Assert.True(block.Address + (ulong)block.Bytes <= other.Address || other.Address + (ulong)other.Bytes <= block.Address));
            live.Add(block);
        }

        foreach (DeviceBlock block in live) block.Dispose();
        Assert.Equal(0, pool.UsedBytes);
    }

    [Fact]
    public void ForgottenTensorsAreReclaimed()
    {
        using CudaBackend cuda = CudaTesting.Create();
        long before = cuda.Device.Pool.UsedBytes;
        Forget(cuda);
        Assert.True(cuda.Device.Pool.UsedBytes > before);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        cuda.CreateTensor(1, 1).Dispose();
        Assert.Equal(before, cuda.Device.Pool.UsedBytes);
    }

    [Fact]
    public void OutOfMemorySaysWhatNeededHowMuch()
    {
        using CudaBackend cuda = CudaTesting.Create();
        DeviceException thrown = Assert.Throws<DeviceException>(() => cuda.CreateTensor(int.MaxValue, 100_000));
        Assert.Contains("an activation [2147483647, 100000] needs 858993", thrown.Message, StringComparison.Ordinal);
        Assert.Contains("int8", thrown.Message, StringComparison.Ordinal);
        using Tensor small = CpuTesting.Tensor(cuda, 1, 2, 3, 4);
        Assert.Equal([3, 4], small.ToArray());
    }

    [Fact]
    public void BackendsCloseInAnyOrder()
    {
        CudaBackend first = CudaTesting.Create(), second = CudaTesting.Create(segmentBytes: 1 << 20);
        Tensor left = CpuTesting.Tensor(first, 1, 3, 1, 2, 3), right = CpuTesting.Tensor(second, 1, 3, 4, 5, 6);
        first.Dispose();
        first.Dispose();
        left.Dispose();
        Assert.Equal([4, 5, 6], right.ToArray());
        Assert.Throws<ObjectDisposedException>(() => first.CreateTensor(1, 1));
        second.Dispose();
        right.Dispose();
    }

    [Fact]
    public void ARecordedStepIsReplayedWithWhatChanged()
    {
        // Blocks from a segment: what is freed inside of a step has the same address in the next.
        using CudaBackend cuda = CudaTesting.Create(segmentBytes: 1 << 20);
        using var graph = (StepGraph)cuda.CreateStepRecorder()!;
        using Tensor x = CpuTesting.Tensor(cuda, 6, 5, CpuTesting.Random(30, 1)), w = CpuTesting.Tensor(cuda, 1, 5, 1, 2, 3, 4, 5);
        using Tensor y = cuda.CreateTensor(1, 5), z = cuda.CreateTensor(1, 5);
        float[] last = [];
        for (int row = 0; row < 6; row++)
        {
            // The first launch reads another row each time, the others stay; once there is one more.
            Step(row, more: row == 4, completed: true);
            Assert.Equal(row < 4 ? 1 : row == 4 ? 2 : 3, graph.Builds);
            if (row is > 0 and < 4) Assert.Equal(1, graph.Updates);
            float[] normed = z.ToArray();
            cuda.Copy(y, x.Slice(row, 1));
            cuda.RmsNorm(y, y, w, 1e-5f);
            if (row == 4) cuda.Activate(y, y, Activation.Gelu);
            Assert.Equal(y.ToArray(), normed);
            last = normed;
        }

        // A step that fails leaves nothing behind, and those after it are whole again.
        Step(0, more: false, completed: false);
        Assert.Equal(last, z.ToArray());
        Step(5, more: false, completed: true);
        Assert.Equal(last, z.ToArray());

        graph.Begin();
        Assert.Throws<InvalidOperationException>(() => y.ToArray());
        Assert.Throws<InvalidOperationException>(() => cuda.Gather(y, x, [1]));
        Assert.Throws<InvalidOperationException>(graph.Begin);
        graph.End(completed: false);

        void Step(int row, bool more, bool completed)
        {
            graph.Begin();
            // Freed inside of the step, whose launches come only at its end.
            using (Tensor between = cuda.CreateTensor(1, 5))
            {
                cuda.Copy(between, x.Slice(row, 1));
                cuda.RmsNorm(z, between, w, 1e-5f);
            }

            if (more) cuda.Activate(z, z, Activation.Gelu);
            graph.End(completed);
        }
    }

    private static void Forget(CudaBackend cuda) => CpuTesting.Tensor(cuda, 100, 8, new float[800]);

    private readonly record struct OneAddress(ulong Address);
}
