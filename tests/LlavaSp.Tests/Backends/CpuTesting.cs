using System.Runtime.CompilerServices;
using LlavaSp.Backends;
using LlavaSp.Backends.Cpu;
using LlavaSp.Backends.Reference;
using LlavaSp.Quantization;

namespace LlavaSp.Tests.Backends;

/// <summary>What the tests of the CPU backend share.</summary>
internal static class CpuTesting
{
    /// <summary>Every instruction set of this machine; one row that skips when the native library has not been built.</summary>
    public static TheoryData<string> InstructionSets()
    {
        var data = new TheoryData<string>();
        if (CpuBackend.IsAvailable(out _)) foreach (string name in CpuBackend.InstructionSets()) data.Add(name);
        else data.Add("none");
        return data;
    }

    public static CpuBackend Create(string? instructionSet, int threads = 2, bool int8 = true)
    {
        SkipWithoutLibrary();
        return new CpuBackend(new CpuBackendOptions(instructionSet, threads, int8));
    }

    public static void SkipWithoutLibrary()
    {
        if (!CpuBackend.IsAvailable(out string problem)) Assert.Skip(problem);
    }

    public static float[] Random(int count, int seed, float scale = 1)
    {
        var random = new Random(seed);
        var values = new float[count];
        foreach (ref float x in values.AsSpan()) x = scale * (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        return values;
    }

    public static Tensor Tensor(IBackend backend, int rows, int columns, params float[] values)
    {
        Tensor tensor = backend.CreateTensor(rows, columns);
        tensor.Write(values);
        return tensor;
    }

    public static void Near(float[] expected, float[] actual, float tolerance, [CallerArgumentExpression(nameof(actual))] string what = "") =>
        Assert.True(TensorComparison.Difference(expected, actual) <= tolerance, $"{what}: {TensorComparison.Difference(expected, actual):g3} > {tolerance:g3}");
}

/// <summary>A matrix in memory.</summary>
internal sealed class MatrixSource(int rows, int columns, float[] values) : WeightSource
{
    public override string Name => "test.weight";

    public override long Rows => rows;

    public override long Columns => columns;

    public bool Evicted { get; private set; }

    public override void ReadRows(long first, int count, Span<float> destination) =>
        values.AsSpan((int)first * columns, count * columns).CopyTo(destination);

    public override void Evict() => Evicted = true;
}

/// <summary>A matrix that a checkpoint holds as integers.</summary>
internal sealed class IntegerSource(int rows, int columns, WeightFormat format, sbyte[] values, float[] scales) : WeightSource
{
    public override string Name => "test.integers";

    public override long Rows => rows;

    public override long Columns => columns;

    public override WeightFormat? StoredFormat => format;

    public override void ReadRows(long first, int count, Span<float> destination) => throw new InvalidOperationException("only integers are to be read");

    public override void ReadStoredRows(long first, int count, Span<byte> rowValues, Span<Half> rowScales)
    {
        int groups = (int)format.Groups(columns), bytes = (int)format.StoredRowBytes(columns);
        rowValues.Clear();
        for (int i = 0; i < count * columns; i++)
        {
            sbyte value = values[(int)first * columns + i];
            if (format.Kind == WeightKind.Int8) rowValues[i] = (byte)value;
            else rowValues[i / columns * bytes + i % columns / 2] |= (byte)((value + 8) << (4 * (i % columns % 2)));
        }

        for (int i = 0; i < count * groups; i++) rowScales[i] = (Half)scales[(int)first * groups + i];
    }
}

/// <summary>The same operation on the CPU backend and on the reference.</summary>
internal sealed class Pair(string instructionSet, bool int8 = false) : IDisposable
{
    public IBackend[] Backends { get; } = [new ReferenceBackend(), CpuTesting.Create(instructionSet, 2, int8)];

    /// <summary>Runs an operation on both and compares what it leaves in a tensor [rows, columns].</summary>
    public void Same(int rows, int columns, float tolerance, Action<IBackend, Tensor> operation, [CallerArgumentExpression(nameof(operation))] string what = "")
    {
        float[][] results = [.. Backends.Select(backend =>
        {
            using Tensor destination = CpuTesting.Tensor(backend, rows, columns, CpuTesting.Random(rows * columns, 99));
            operation(backend, destination);
            return destination.ToArray();
        })];
        CpuTesting.Near(results[0], results[1], tolerance, what);
    }

    public void Dispose() => Backends[1].Dispose();
}
