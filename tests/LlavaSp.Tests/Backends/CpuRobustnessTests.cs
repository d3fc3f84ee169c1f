using LlavaSp.Backends;
using LlavaSp.Backends.Cpu;
using LlavaSp.Backends.Reference;
using LlavaSp.Quantization;
using static LlavaSp.Tests.Backends.CpuTesting;

namespace LlavaSp.Tests.Backends;

/// <summary>Shapes that do not fit, objects used too late, instruction sets and libraries that are not there: errors, never a crash.</summary>
public sealed class CpuRobustnessTests
{
    [Fact]
    public void ShapesAreChecked()
    {
        using CpuBackend cpu = Create(null, 1);
        Tensor T(int rows, int columns) => cpu.CreateTensor(rows, columns);
        using Weight w = cpu.CreateWeight(new MatrixSource(4, 6, new float[24]), WeightFormat.F32);
        using KvCache kv = cpu.CreateKvCache(new KvCacheShape(2, 2, 8, 16, KvFormat.F16));
        var rope = new RopeTable(T(16, 4), T(16, 4));
        Action[] wrong =
        [
            () => cpu.Copy(T(2, 3), T(3, 2)),
            () => cpu.Gather(T(2, 3), T(4, 3), [0, 4]),
            () => cpu.Gather(T(1, 3), T(4, 3), [0, 1]),
            () => cpu.LayerNorm(T(2, 3), T(2, 3), T(1, 2), T(1, 3), 1e-5f),
            () => cpu.RmsNorm(T(2, 3), T(2, 3), T(1, 4), 1e-5f),
            () => cpu.Linear(T(2, 4), T(2, 5), w),
            () => cpu.Linear(T(2, 5), T(2, 6), w),
            () => cpu.Linear(T(2, 4), T(2, 6), w, new Epilogue(T(1, 3))),
            () => cpu.Linear(T(2, 4), T(2, 6), w, new Epilogue(Residual: T(1, 4))),
            () => cpu.FullAttention(T(4, 4), T(4, 12), 3, 2),
            () => cpu.FullAttention(T(4, 4), T(4, 12), 2, 3),
            () => cpu.RopeAndCache(T(2, 32), T(2, 64), kv, 2, rope, 0),
            () => cpu.RopeAndCache(T(2, 32), T(2, 64), kv, 0, rope, 15),
            () => cpu.RopeAndCache(T(2, 32), T(2, 63), kv, 0, rope, 0),
            () => cpu.RopeAndCache(T(2, 32), T(2, 64), kv, 0, new RopeTable(T(16, 3), T(16, 4)), 0),
            () => cpu.RopeAndCache(T(2, 32), T(2, 64), kv, 0, new RopeTable(T(3, 4), T(3, 4)), 2),
            () => cpu.CausalAttention(T(2, 24), T(2, 24), kv, 0, 0),
            () => cpu.CausalAttention(T(2, 32), T(2, 32), kv, 0, 15),
            () => cpu.CausalAttention(T(2, 32), T(2, 32), kv, -1, 0),
            () => cpu.GatedActivation(T(2, 3), T(2, 5)),
            () => cpu.Activate(T(2, 3), T(2, 2), Activation.Gelu),
            () => cpu.Embed(T(1, 6), w, [4]),
            () => cpu.Embed(T(1, 6), w, [-1]),
            () => cpu.Embed(T(1, 5), w, [1]),
            () => cpu.Argmax(T(2, 2)),
            () => cpu.SpatialTokens(T(1, 4), T(5, 6), 1, SpatialMode.Pooling, [new SpatialConvolution(1, w)], null),
            () => cpu.SpatialTokens(T(1, 4), T(4, 6), 1, SpatialMode.Pooling, [new SpatialConvolution(2, w)], null),
            () => cpu.SpatialTokens(T(1, 4), T(4, 6), 1, SpatialMode.Cropping, [], null),
            () => cpu.SpatialTokens(T(2, 4), T(4, 6), 1, SpatialMode.Cropping, [new SpatialConvolution(1, w)], null),
            () => new ReferenceBackend().CreateTensor(1, 1).Slice(0, 2),
            () => cpu.Copy(T(1, 1), new ReferenceBackend().CreateTensor(1, 1)),
            () => T(2, 2).Write(new float[3]),
            () => T(2, 2).Read(new float[3]),
            () => T(2, 2).Slice(1, 2),
            () => T(2, 0),
            () => cpu.CreateKvCache(new KvCacheShape(1, 1, 7, 4, KvFormat.F32)),
            () => cpu.CreateKvCache(new KvCacheShape(1, 1, 8, 4, KvFormat.Int8)),
        ];
        for (int i = 0; i < wrong.Length; i++)
        {
            Exception? thrown = Record.Exception(wrong[i]);
            Assert.True(thrown is ArgumentException, $"case {i}: {thrown?.GetType().Name ?? "nothing"}");
        }

        cpu.SpatialTokens(T(1, 4), T(4, 6), 1, SpatialMode.Cropping, [new SpatialConvolution(1, w)], null);
        cpu.RopeAndCache(T(2, 32), T(2, 64), kv, 1, rope, 14);
        cpu.CausalAttention(T(2, 32), T(2, 32), kv, 1, 14);
    }

    [Fact]
    public void DisposedObjectsAreNotUsed()
    {
        CpuBackend cpu = Create(null, 1);
        using Tensor alive = cpu.CreateTensor(1, 6), small = cpu.CreateTensor(1, 4);
        Tensor dead = cpu.CreateTensor(1, 6), view = dead.Slice(0, 1);
        Weight w = cpu.CreateWeight(new MatrixSource(4, 6, new float[24]), WeightFormat.F32);
        dead.Dispose();
        dead.Dispose();
        Assert.Throws<ObjectDisposedException>(() => cpu.Copy(alive, dead));
        Assert.Throws<ObjectDisposedException>(() => view.ToArray());
        w.Dispose();
        Assert.Throws<ObjectDisposedException>(() => cpu.Linear(small, alive, w));
        cpu.Dispose();
        cpu.Dispose();
        Assert.Throws<ObjectDisposedException>(() => cpu.Copy(alive, alive.Slice(0, 1)));
    }

    [Fact]
    public void AViewDoesNotFreeItsTensor()
    {
        using CpuBackend cpu = Create(null, 1);
        using Tensor tensor = Tensor(cpu, 2, 2, 1, 2, 3, 4);
        tensor.Slice(1, 1).Dispose();
        tensor.Slice(0, 1).Write([5, 6]);
        Assert.Equal([5, 6, 3, 4], tensor.ToArray());
    }

    [Theory]
    [InlineData("avx1024")]
    [InlineData("")]
    [InlineData("AVX2")]
    public void UnknownInstructionSetsAreRefusedByName(string name)
    {
        SkipWithoutLibrary();
        DeviceException thrown = Assert.Throws<DeviceException>(() => BackendFactory.Create(new DeviceOptions($"cpu:{name}")));
        Assert.Contains($"'{name}'", thrown.Message, StringComparison.Ordinal);
        foreach (string isa in CpuBackend.InstructionSets()) Assert.Contains(isa, thrown.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void InfoSaysWhatRunsAndWhy()
    {
        using CpuBackend best = Create(null, 2), scalar = Create("scalar", 1);
        string isa = CpuBackend.InstructionSets()[^1];
        Assert.Equal(new BackendInfo("cpu", isa, 2, $"best instruction set of this CPU ({isa}); 2 threads"), best.Info);
        Assert.Equal(new BackendInfo("cpu", "scalar", 1, "instruction set scalar was asked for; 1 thread"), scalar.Info);
        using IBackend auto = BackendFactory.Create(new DeviceOptions("auto"));
        Assert.Equal(isa, auto.Info.InstructionSet);
        Assert.Equal(Environment.ProcessorCount, auto.Info.Threads);
    }

    [Fact]
    public void AMissingLibrarySaysWhereItWasLookedFor()
    {
        List<string> paths = NativeLibraryLocator.Candidates("/nowhere/app", "/nowhere/extra");
        Assert.Equal(3, paths.Count);
        DeviceException thrown = Assert.Throws<DeviceException>(() => NativeLibraryLocator.Open(paths, out _));
        foreach (string path in paths) Assert.Contains(path, thrown.Message, StringComparison.Ordinal);
        Assert.Contains("cmake", thrown.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', thrown.Message);
    }

    [Fact]
    public void AFileThatIsNoLibraryIsRefused()
    {
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, "not a library");
            DeviceException thrown = Assert.Throws<DeviceException>(() => NativeLibraryLocator.Open([path], out _));
            Assert.Contains(path, thrown.Message, StringComparison.Ordinal);
            Assert.DoesNotContain('\n', thrown.Message);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void WeightsThatCannotBeQuantisedAreNamed()
    {
        using CpuBackend cpu = Create(null, 2);
        var values = new float[100 * 40];
        values[77 * 40 + 3] = float.NaN;
        CheckpointException thrown = Assert.Throws<CheckpointException>(() => cpu.CreateWeight(new MatrixSource(100, 40, values), WeightFormat.Int4(32)));
        Assert.Contains("test.weight, row 77", thrown.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void LargeMatricesArePackedBlockByBlock()
    {
        using Pair pair = new(CpuBackend.IsAvailable(out _) ? CpuBackend.InstructionSets()[^1] : "none");
        // Several blocks of rows, and one row that is longer than a block.
        foreach ((int rows, int columns) in new[] { (3000, 700), (70, 40000) })
        {
            float[] values = Random(rows * columns, 5);
            int[] ids = [0, 31, 32, rows - 1, rows / 2];
            pair.Same(ids.Length, columns, 0, (backend, y) =>
            {
                var source = new MatrixSource(rows, columns, values);
                using Weight w = backend.CreateWeight(source, WeightFormat.Int8(128));
                Assert.True(source.Evicted);
                backend.Embed(y, w, ids);
            });
        }
    }

    [Fact]
    public void SteadyStateAllocatesNothing()
    {
        using CpuBackend cpu = Create(null, 2);
        using Weight w = cpu.CreateWeight(new MatrixSource(64, 64, Random(64 * 64, 1)), WeightFormat.Int8());
        using Tensor x = Tensor(cpu, 3, 64, Random(3 * 64, 2)), y = cpu.CreateTensor(3, 64), norm = Tensor(cpu, 1, 64, Random(64, 3)), row = y.Slice(0, 1);
        void Step()
        {
            cpu.RmsNorm(y, x, norm, 1e-5f);
            cpu.Linear(x, y, w, new Epilogue(norm, Activation.Gelu, x));
            cpu.Embed(row, w, [5]);
            cpu.Argmax(row);
        }

        for (int i = 0; i < 100; i++) Step();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++) Step();
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Fact]
    public void CeilingsAreMeasured()
    {
        using CpuBackend cpu = Create(null, 1);
        Assert.True(cpu.MeasureReadBandwidth(16 << 20, 2) > 1e8);
        Assert.True(cpu.MeasureFloat32(1) > 1e8);
        Assert.True(cpu.MeasureInt8(1) > 1e8);
        Assert.Throws<DeviceException>(() => cpu.MeasureReadBandwidth(10, 1));
    }
}
