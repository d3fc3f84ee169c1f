using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Backends.Cuda.Driver;
using static LlavaSp.Tests.Backends.CpuTesting;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>RMSNorm and quantisation in one pass, against the two by themselves.</summary>
public sealed class CudaNormQuantizeTests(ITestOutputHelper output)
{
    private const float Epsilon = 1e-5f;

    [Theory]
    [InlineData(1, 64, 64)]
    [InlineData(5, 7, 32)]
    [InlineData(34, 100, 32)]
    [InlineData(35, 200, 128)]
    [InlineData(40, 4096, 128)]
    [InlineData(33, 4099, 64)]
    [InlineData(36, 5120, 32)]
    [InlineData(3, 11008, 128)]
    public void TheIntegersAreThoseOfTheNorm(int rows, int columns, int group)
    {
        using CudaBackend cuda = CudaTesting.Create();
        float[] x = Random(rows * columns, 1, 3);
        if (rows > 4)
        {
            x.AsSpan(columns, columns).Clear();
            x[(2 * columns) + 3] = float.NaN;
        }

        using Tensor weight = Tensor(cuda, 1, columns, Random(columns, 2)), normed = cuda.CreateTensor(rows, columns);
        foreach (Precision precision in Enum.GetValues<Precision>())
        {
            using Tensor source = CudaTesting.Tensor(cuda, precision, rows, columns, x);
            cuda.RmsNorm(normed, source, weight, Epsilon);
            (sbyte[] expected, float[] expectedScales) = Quantized(cuda, normed, group, null);
            (sbyte[] actual, float[] actualScales) = Quantized(cuda, source, group, weight);
            int steps = 0;
            for (int i = 0; i < expected.Length; i++)
            {
                int step = Math.Abs(expected[i] - actual[i]);
                Assert.True(step <= 1, $"{precision}: element {i} is {actual[i]}, not {expected[i]}");
                steps += step;
            }

            // The two add squares in another order, so a tie may go either way.
            Assert.True(steps <= 1 + (expected.Length / 10000), $"{precision}: {steps} of {expected.Length} integers differ");
            for (int i = 0; i < expectedScales.Length; i++)
            {
                float e = expectedScales[i], a = actualScales[i];
                Assert.True((float.IsNaN(e) && float.IsNaN(a)) || MathF.Abs(e - a) <= 1e-6f * e, $"{precision}: scale {i} is {a}, not {e}");
            }

            if (rows > 4) Assert.Contains(float.NaN, actualScales);
        }
    }

    /// <summary>40 rows of the published model: every byte of x once, integers and scales out, nothing else.</summary>
    [Theory]
    [InlineData(Precision.Full)]
    [InlineData(Precision.Operand)]
    public void MovesWhatItMust(Precision precision)
    {
        const int rows = 40, columns = 4096, group = 64;
        using CudaPair pair = new();
        using Tensor source = CudaTesting.Tensor(pair.Cuda, precision, rows, columns, Random(rows * columns, 1));
        using Tensor weight = Tensor(pair.Cuda, 1, columns, Random(columns, 2));
        IReadOnlyDictionary<string, KernelCount> counts = EmulatorCounts.Of(pair, () => Quantized(pair.Cuda, source, group, weight));
        KernelCount count = counts[precision == Precision.Full ? "rms_norm_quantize_f32" : "rms_norm_quantize_f16"];
        output.WriteLine($"{count}");
        int elementBytes = precision == Precision.Full ? sizeof(float) : sizeof(ushort);
        Assert.Equal((ulong)(rows * columns) + (rows * (columns / group) * sizeof(float)), count.StoreBytes);
        Assert.True(count.LoadLeastSectors >= 0.95 * count.LoadSectors, count.ToString());
        Assert.Equal(count.SharedLeastWavefronts, count.SharedWavefronts);
        Assert.InRange(32 * count.LoadDifferentSectors, 1, 1.05 * ((elementBytes * rows * columns) + (sizeof(float) * columns)));
    }

    /// <summary>Bytes [rows, padded] and scales [groups, rows].</summary>
    private static (sbyte[] Values, float[] Scales) Quantized(CudaBackend cuda, Tensor source, int group, Tensor? norm)
    {
        (ulong address, ulong scales, int stride) = cuda.Quantized((CudaTensor)source, group, (CudaTensor?)norm, Epsilon);
        int padded = (source.Columns + 63) / 64 * 64, groups = (padded + group - 1) / group;
        var values = new sbyte[source.Rows * padded];
        var all = new float[groups * stride];
        cuda.Device.Download(values.AsSpan(), address);
        cuda.Device.Download(all.AsSpan(), scales);
        return (values, [.. Enumerable.Range(0, groups).SelectMany(g => all.Skip(g * stride).Take(source.Rows))]);
    }
}
