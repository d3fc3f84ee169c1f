using System.Runtime.InteropServices;
using CsCheck;
using LlavaSp.Checkpoints;
using LlavaSp.Quantization;

namespace LlavaSp.Tests.Quantizers;

/// <summary>Halves and bfloat16 to float32 and back, vectorised, against the scalar definition: equal bits.</summary>
public sealed class WideningTests
{
    private static readonly ushort[] All = [.. Enumerable.Range(0, 65536).Select(bits => (ushort)bits)];

    [Fact]
    public void EveryHalfIsWidenedExactly()
    {
        var values = new float[All.Length];
        Floats.Convert(MemoryMarshal.AsBytes(All.AsSpan()), DType.F16, values);
        for (int i = 0; i < All.Length; i++)
            Assert.Equal(BitConverter.SingleToUInt32Bits((float)BitConverter.UInt16BitsToHalf(All[i])), BitConverter.SingleToUInt32Bits(values[i]));
    }

    [Fact]
    public void NarrowingToHalvesRoundsAsTheRuntimeDoes()
    {
        // Every upper half of a float32 with lower halves around each place where a tie can be.
        foreach (uint low in new uint[] { 0, 1, 0x0FFF, 0x1000, 0x1001, 0x1FFF, 0x2000, 0x7FFF, 0x8000, 0xFFFF })
        {
            float[] values = [.. Enumerable.Range(0, 1 << 16).Select(high => BitConverter.UInt32BitsToSingle((uint)high << 16 | low))];
            var bits = new ushort[values.Length];
            HalfFloats.Narrow(values, bits);
            Assert.Equal(values.Select(static x => BitConverter.HalfToUInt16Bits((Half)x)), bits);
        }

        Assert.False(HalfFloats.Overflows([65519.99f, -65519.99f, float.PositiveInfinity, float.NaN, .. new float[40]]));
        for (int i = 0; i < 40; i++)
        {
            var values = new float[40];
            values[i] = -65520;
            Assert.True(HalfFloats.Overflows(values));
        }
    }

    [Fact]
    public void EveryBfloat16IsWidenedExactlyAndComesBack()
    {
        var values = new float[All.Length];
        Floats.Convert(MemoryMarshal.AsBytes(All.AsSpan()), DType.BF16, values);
        var back = new ushort[All.Length];
        Bf16.Narrow(values, back);
        for (int i = 0; i < All.Length; i++)
        {
            Assert.Equal((uint)i << 16, BitConverter.SingleToUInt32Bits(values[i]));
            Assert.Equal(float.IsNaN(values[i]) ? (ushort)(All[i] | 0x40) : All[i], back[i]);
        }
    }

    [Fact]
    public void TailsAreConvertedToo()
    {
        for (int length = 0; length <= 70; length++)
        {
            ushort[] bits = All[15300..(15300 + length)];
            var values = new float[length + 1];
            values[length] = -1;
            HalfFloats.Widen(bits, values);
            Assert.Equal(bits.Select(value => (float)BitConverter.UInt16BitsToHalf(value)), values[..length]);
            Bf16.Widen(bits, values);
            Assert.Equal(bits.Select(Bf16.Widen), values[..length]);
            Assert.Equal(-1, values[length]);
        }
    }

    [Fact]
    public void NarrowingRoundsEveryFloatAsTheScalarDoes() => Gen.UInt.Array[0, 100].Sample(bits =>
    {
        float[] values = Array.ConvertAll(bits, BitConverter.UInt32BitsToSingle);
        var narrowed = new ushort[values.Length];
        Bf16.Narrow(values, narrowed);
        return narrowed.SequenceEqual(Array.ConvertAll(values, Bf16.Narrow));
    });

    [Theory]
    [InlineData(0x3F808000u, 0x3F80)] // a tie goes to the even one below
    [InlineData(0x3F818000u, 0x3F82)] // and above
    [InlineData(0x3F808001u, 0x3F81)]
    [InlineData(0x7F7FFFFFu, 0x7F80)] // overflow
    [InlineData(0x7F800001u, 0x7FC0)] // a NaN whose payload lies below stays one
    [InlineData(0x80000001u, 0x8000)]
    public void KnownRoundings(uint bits, int expected)
    {
        var values = new float[64];
        Array.Fill(values, BitConverter.UInt32BitsToSingle(bits));
        var narrowed = new ushort[64];
        Bf16.Narrow(values, narrowed);
        Assert.All(narrowed, value => Assert.Equal((ushort)expected, value));
        Assert.Equal((ushort)expected, Bf16.Narrow(values[0]));
    }

    [Fact]
    public void ALoraRowIsTheSumOverItsRank() => Gen.Select(Gen.Int[1, 9], Gen.Int[1, 150], Gen.Int[1, 4]).SelectMany((rank, columns, rows) => Gen.Select(
        Gen.Float[-2, 2].Array[rank * columns], Gen.Float[-2, 2].Array[rows * rank], Gen.Float[-2, 2].Array[columns], Gen.Const((rank, columns, rows)))).Sample(
        (a, b, start, size) =>
        {
            var delta = new LoraDelta(a, b, size.rank, size.columns, 1.7f);
            for (int row = 0; row < size.rows; row++)
            {
                float[] actual = [.. start];
                delta.AddRow(row, actual);
                for (int i = 0; i < size.columns; i++)
                {
                    float sum = 0;
                    for (int j = 0; j < size.rank; j++) sum += b[row * size.rank + j] * a[j * size.columns + i];
                    Assert.Equal(start[i] + 1.7f * sum, actual[i]);
                }
            }
        }, iter: 200);
}
