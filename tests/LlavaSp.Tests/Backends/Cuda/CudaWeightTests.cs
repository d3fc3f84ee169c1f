using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Quantization;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>Packed weights, byte by byte, against kernels/README.md written out as plain loops.</summary>
public sealed class CudaWeightTests
{
    public static TheoryData<string> Formats() => new("f16", "bf16", "int8:32", "int8:64", "int8:128", "int4:32", "int4:64", "int4:128");

    [Theory]
    [MemberData(nameof(Formats))]
    public void TilesAndScalesLieAsTheConventionsSay(string name)
    {
        using CudaBackend cuda = CudaTesting.Create();
        var format = WeightFormat.Parse(name);
        foreach ((int rows, int columns) in new[] { (1, 1), (16, 64), (33, 70), (100, 300), (40, 129) })
        {
            float[] values = CpuTesting.Random(rows * columns, rows + columns);
            using var weight = (CudaWeight)cuda.CreateWeight(new MatrixSource(rows, columns, values), format);
            Assert.Equal((rows, columns, format), ((int)weight.Rows, (int)weight.Columns, weight.Format));
            Check(cuda, weight, rows, columns, values, format);
        }
    }

    [Fact]
    public void MatricesOfManyPiecesArriveWhole()
    {
        // 16 rows are more than a piece of 8 MiB in the first; in the second 12 pieces take turns with two buffers.
        using CudaBackend cuda = CudaTesting.Create();
        foreach ((int rows, int columns, string name) in new[] { (35, 300_007, "f16"), (200, 60_000, "bf16"), (700, 20_000, "int4:64") })
        {
            var format = WeightFormat.Parse(name);
            var random = new Random(5);
            float[] values = [.. Enumerable.Range(0, rows * columns).Select(_ => random.Next(-500, 500) / 256f)];
            using var weight = (CudaWeight)cuda.CreateWeight(new MatrixSource(rows, columns, values), format);
            Check(cuda, weight, rows, columns, values, format);
        }
    }

    [Fact]
    public void BytesForIntegerTensorCoresAreSigned()
    {
        using CudaBackend cuda = CudaTesting.Create();
        using var packer = new WeightPacker(cuda.Device, cuda.Module, 2);
        const int rows = 33, columns = 100;
        float[] values = CpuTesting.Random(rows * columns, 8);
        using CudaWeight weight = packer.Pack(new MatrixSource(rows, columns, values), WeightFormat.Int8(), int8Mma: true);
        Assert.True(weight.Int8Mma);
        (sbyte[] integers, _) = Quantized(rows, columns, values, WeightFormat.Int8());
        byte[] packed = Bytes(cuda, weight.Packed, CudaWeight.PackedBytes(rows, columns, WeightKind.Int8));
        for (int i = 0; i < weight.RowTiles; i++)
        {
            for (int j = 0; j < weight.ColumnTiles / 2; j++)
            {
                for (int b = 0; b < 512; b++)
                {
                    int lane = b / 16, a = b / 4 % 4, row = 16 * i + lane / 4 + a % 2 * 8, column = 32 * j + lane % 4 * 4 + a / 2 * 16 + b % 4;
                    int expected = row < rows && column < columns ? integers[row * columns + column] : 0;
                    Assert.Equal(expected, (sbyte)packed[(i * weight.ColumnTiles / 2 + j) * 512 + b]);
                }
            }
        }
    }

    [Fact]
    public void StoredIntegersAreTakenAsTheyAre()
    {
        using CudaBackend cuda = CudaTesting.Create();
        const int rows = 50, columns = 100;
        foreach (WeightFormat format in new[] { WeightFormat.Int8(32), WeightFormat.Int4(64) })
        {
            (sbyte[] integers, float[] scales) = Quantized(rows, columns, CpuTesting.Random(rows * columns, 3), format);
            using var weight = (CudaWeight)cuda.CreateWeight(new IntegerSource(rows, columns, format, integers, scales), format);
            CheckIntegers(cuda, weight, rows, columns, integers, scales, format);
        }
    }

    [Fact]
    public void FormatsThatTheDeviceLacksAreRefused()
    {
        using CudaBackend cuda = CudaTesting.Create();
        DeviceException thrown = Assert.Throws<DeviceException>(() => cuda.CreateWeight(new MatrixSource(2, 2, new float[4]), WeightFormat.F32));
        Assert.Contains("f16, bf16, int8 or int4", thrown.Message, StringComparison.Ordinal);
        Assert.Equal(WeightFormat.F16, cuda.DefaultFormat(WeightFormat.F32));
        Assert.Equal(WeightFormat.BF16, cuda.DefaultFormat(WeightFormat.BF16));
        Assert.Equal(WeightFormat.Int4(32), cuda.DefaultFormat(WeightFormat.Int4(32)));
        var large = new float[40];
        large[33] = -65520;
        CheckpointException overflow = Assert.Throws<CheckpointException>(() => cuda.CreateWeight(new MatrixSource(4, 10, large), WeightFormat.F16));
        Assert.Contains("row 3", overflow.Message, StringComparison.Ordinal);
        large[33] = -65519;
        cuda.CreateWeight(new MatrixSource(4, 10, large), WeightFormat.F16).Dispose();
    }

    private static void Check(CudaBackend cuda, CudaWeight weight, int rows, int columns, float[] values, WeightFormat format)
    {
        if (format.IsInteger)
        {
            (sbyte[] integers, float[] scales) = Quantized(rows, columns, values, format);
            CheckIntegers(cuda, weight, rows, columns, integers, scales, format);
            return;
        }

        byte[] packed = Bytes(cuda, weight.Packed, weight.ByteLength);
        var expected = new byte[packed.Length];
        ForEachPair(weight, (tile, lane, a, half, row, column) =>
        {
            float value = row < rows && column < columns ? values[row * columns + column] : 0;
            ushort bits = format.Kind == WeightKind.BF16 ? Bf16.Narrow(value) : BitConverter.HalfToUInt16Bits((Half)value);
            BitConverter.TryWriteBytes(expected.AsSpan((tile * 32 + lane) * 16 + a * 4 + half * 2), bits);
        });
        Assert.True(expected.AsSpan().SequenceEqual(packed), $"[{rows}, {columns}] {format}");
    }

    private static void CheckIntegers(
        CudaBackend cuda, CudaWeight weight, int rows, int columns, sbyte[] integers, float[] scales, WeightFormat format)
    {
        byte[] packed = Bytes(cuda, weight.Packed, CudaWeight.PackedBytes(rows, columns, format.Kind));
        var expected = new byte[packed.Length];
        ForEachPair(weight, (tile, lane, a, half, row, column) =>
        {
            int value = row < rows && column < columns ? integers[row * columns + column] : 0;
            if (format.Kind == WeightKind.Int8)
            {
                // x, y: the first tile of two; bytes a0 low, a0 high, a1 low, a1 high; a2, a3.
                expected[(tile / 2 * 32 + lane) * 16 + tile % 2 * 8 + a * 2 + half] = (byte)(value + 128);
            }
            else
            {
                int nibble = half * 4 + a, at = (tile / 4 * 32 + lane) * 16 + tile % 4 * 4 + nibble / 2;
                expected[at] |= (byte)((value + 8) << (nibble % 2 * 4));
            }
        });
        Assert.True(expected.AsSpan().SequenceEqual(packed), $"[{rows}, {columns}] {format}");

        byte[] packedScales = Bytes(cuda, weight.Scales, CudaWeight.ScaleBytes(rows, columns, format));
        int groups = (int)format.Groups(columns);
        Assert.Equal(packedScales.Length, weight.RowTiles * weight.Groups * 32);
        for (int row = 0; row < weight.RowTiles * 16; row++)
        {
            for (int group = 0; group < weight.Groups; group++)
            {
                int index = ((row / 16 * weight.Groups + group) * 8 + row % 8) * 4 + row % 16 / 8 * 2;
                Assert.Equal(row < rows && group < groups ? scales[row * groups + group] : 0, (float)BitConverter.ToHalf(packedScales, index));
            }
        }
    }

    /// <summary>Calls with the tile, the lane, the number of the pair of halves, the half, and the row and column that it holds.</summary>
    private static void ForEachPair(CudaWeight weight, Action<int, int, int, int, int, int> body)
    {
        for (int tile = 0; tile < weight.RowTiles * weight.ColumnTiles; tile++)
        {
            for (int i = 0; i < 256; i++)
            {
                int lane = i / 8, a = i / 2 % 4, half = i % 2, g = lane / 4, t = lane % 4;
                int row = tile / weight.ColumnTiles * 16 + g + a % 2 * 8, column = tile % weight.ColumnTiles * 16 + 2 * t + half + a / 2 * 8;
                body(tile, lane, a, half, row, column);
            }
        }
    }

    private static (sbyte[] Values, float[] Scales) Quantized(int rows, int columns, float[] values, WeightFormat format)
    {
        int groups = (int)format.Groups(columns);
        var integers = new sbyte[rows * columns];
        var scales = new float[rows * groups];
        for (int r = 0; r < rows; r++)
        {
            GroupQuantizer.Quantize(
                values.AsSpan(r * columns, columns), format, integers.AsSpan(r * columns, columns), scales.AsSpan(r * groups, groups));
        }

        return (integers, scales);
    }

    private static byte[] Bytes(CudaBackend cuda, ulong address, long count)
    {
        var bytes = new byte[count];
        cuda.Device.Download(bytes.AsSpan(), address);
        return bytes;
    }
}
