using CsCheck;
using LlavaSp.Quantization;
using LlavaSp.Tests.Backends;

namespace LlavaSp.Tests.Quantizers;

/// <summary>What the group quantiser promises of every row.</summary>
public sealed class GroupQuantizerTests
{
    private static readonly WeightFormat[] Formats =
        [WeightFormat.Int8(32), WeightFormat.Int8(64), WeightFormat.Int8(128), WeightFormat.Int4(32), WeightFormat.Int4(64), WeightFormat.Int4(128)];

    private static readonly Gen<WeightFormat> AnyFormat = Gen.Int[0, 5].Select(i => Formats[i]);

    // Rows of one magnitude, from subnormal scales to the largest that a half can hold, with zeros, ties and the limits themselves mixed in.
    private static readonly Gen<float[]> AnyRow =
        from exponent in Gen.Int[-140, 15]
        from row in Gen.Frequency(
            (8, Gen.Float[-1, 1]), (1, Gen.Const(0f)), (1, Gen.Const(-0f)), (1, Gen.Bool.Select(positive => positive ? 1f : -1f)),
            (1, Gen.Int[-127, 127].Select(i => i / 127f)), (1, Gen.Int[-17, 17].Select(i => i / 16f))).Array[0, 300]
        select Array.ConvertAll(row, x => MathF.ScaleB(x, exponent));

    [Fact]
    public void EveryElementIsWithinHalfAScale() => Gen.Select(AnyRow, AnyFormat).Sample((row, format) =>
    {
        (sbyte[] values, float[] scales) = Quantize(row, format);
        bool int4 = format.Kind == WeightKind.Int4;
        int low = int4 ? -8 : -127, high = int4 ? 7 : 127;
        for (int i = 0; i < row.Length; i++)
        {
            float scale = scales[i / format.GroupSize];
            Assert.InRange(values[i], low, high);
            double error = Math.Abs(row[i] - (double)values[i] * scale), largest = Largest(row, i / format.GroupSize, format.GroupSize);
            // The scale itself is rounded to a half: by 2^-11 of it, or 2^-25 where it is subnormal; times the integer. What lies beyond the ends of int4 is cut.
            double slack = Math.Max(Math.Abs(scale) * Math.Pow(2, -11), Math.Pow(2, -25)) * (high + 1) + largest * 1e-6;
            bool cut = int4 && (values[i] == high || values[i] == low) && Math.Abs(row[i]) >= Math.Abs(values[i] * (double)scale) - slack;
            if (cut) continue;
            Assert.True(error <= 0.5 * Math.Abs(scale) + slack, $"{row[i]:g9} became {values[i]} * {scale:g9}, error {error:g3}");
        }
    });

    [Fact]
    public void ScalesAreHalves() => Gen.Select(AnyRow, AnyFormat).Sample((row, format) =>
    {
        (_, float[] scales) = Quantize(row, format);
        Assert.Equal(format.Groups(row.Length), scales.Length);
        return scales.All(scale => float.IsFinite(scale) && (float)(Half)scale == scale);
    });

    [Fact]
    public void VectorsGiveTheBitsOfTheScalarDefinition() => Gen.Select(AnyRow, AnyFormat).Sample((row, format) =>
    {
        (sbyte[] values, float[] scales) = Quantize(row, format);
        bool int4 = format.Kind == WeightKind.Int4;
        for (int g = 0; g < scales.Length; g++)
        {
            ReadOnlySpan<float> group = row.AsSpan(g * format.GroupSize, Math.Min(format.GroupSize, row.Length - g * format.GroupSize));
            float extreme = GroupRounding.ExtremeScalar(group);
            float scale = scales[g];
            if (!int4) Assert.Equal(BitConverter.SingleToInt32Bits((float)(Half)(MathF.Abs(extreme) / 127)), BitConverter.SingleToInt32Bits(scale));
            var expected = new sbyte[group.Length];
            GroupRounding.RoundScalar(group, scale == 0 ? 0 : 1 / scale, int4 ? -8 : -127, int4 ? 7 : 127, expected);
            Assert.Equal(expected, values[(g * format.GroupSize)..(g * format.GroupSize + group.Length)]);
        }
    });

    [Fact]
    public void QuantizingWhatInt8MeansGivesTheSameIntegers() => Gen.Select(AnyRow, Gen.Int[0, 2].Select(i => 32 << i)).Sample((row, group) =>
    {
        WeightFormat format = WeightFormat.Int8(group);
        (sbyte[] values, float[] scales) = Quantize(row, format);
        var meant = new float[row.Length];
        GroupQuantizer.Dequantize(values, scales, group, meant);
        (sbyte[] again, float[] scalesAgain) = Quantize(meant, format);
        for (int i = 0; i < row.Length; i++)
        {
            // A scale that was rounded up into a subnormal half leaves fewer than 127 steps; the group then has a finer scale of its own.
            bool full = Enumerable.Range(i / group * group, Math.Min(group, row.Length - i / group * group)).Any(j => Math.Abs((int)values[j]) == 127);
            if (!full) continue;
            Assert.Equal(scales[i / group], scalesAgain[i / group]);
            Assert.Equal(values[i], again[i]);
        }
    });

    [Fact]
    public void SearchedScalesAreNoWorseThanThePlainOne() => Gen.Select(AnyRow, Gen.Int[0, 2].Select(i => 32 << i)).Sample((row, group) =>
    {
        (sbyte[] values, float[] scales) = Quantize(row, WeightFormat.Int4(group));
        for (int g = 0; g < scales.Length; g++)
        {
            float[] part = row[(g * group)..Math.Min(row.Length, (g + 1) * group)];
            double plain = SquaredError(part, (float)(Half)(GroupRounding.ExtremeScalar(part) / -8));
            double searched = 0, size = 0;
            for (int i = 0; i < part.Length; i++)
            {
                searched += Math.Pow(part[i] - (double)values[g * group + i] * scales[g], 2);
                size += Math.Pow(part[i], 2);
            }

            // The best scale is found before it is rounded to a half.
            Assert.True(searched <= plain + size * 1e-6, $"{searched:g6} where the plain scale leaves {plain:g6}");
        }
    });

    [Theory]
    [InlineData(32, 0.90)]
    [InlineData(64, 0.905)]
    [InlineData(128, 0.90)]
    public void SearchedScalesLeaveNormalWeightsASmallerError(int group, double bound)
    {
        float[] row = CpuTesting.Random(1 << 17, 5);
        (sbyte[] values, float[] scales) = Quantize(row, WeightFormat.Int4(group));
        double searched = 0, plain = 0;
        for (int i = 0; i < row.Length; i++) searched += Math.Pow(row[i] - (double)values[i] * scales[i / group], 2);
        foreach (float[] part in row.Chunk(group)) plain += SquaredError(part, (float)(Half)(GroupRounding.ExtremeScalar(part) / -8));
        TestContext.Current.TestOutputHelper?.WriteLine($"int4:{group}: {searched / plain:f4} of the squared error of the plain scale");
        Assert.InRange(searched / plain, 0.5, bound);
    }

    [Fact]
    public void ElementsOfOneMagnitudeAndOppositeSignsAreBothExactInInt4()
    {
        foreach (float extreme in (float[])[3.5f, -3.5f])
        {
            var row = new float[64];
            (row[5], row[9]) = (extreme, -extreme);
            (sbyte[] values, float[] scales) = Quantize(row, WeightFormat.Int4(64));
            // The plain scale, extreme / -8, would cut the second to 7 steps of 8.
            Assert.Equal((extreme, -extreme), (values[5] * scales[0], values[9] * scales[0]));
        }
    }

    [Fact]
    public void ZerosStayZeros()
    {
        foreach (WeightFormat format in Formats)
        {
            (sbyte[] values, float[] scales) = Quantize(new float[200], format);
            Assert.All(values, value => Assert.Equal(0, value));
            Assert.All(scales, scale => Assert.Equal(0, scale));
        }
    }

    [Theory]
    [InlineData(1e-44f)]
    [InlineData(1e-30f)]
    [InlineData(3e-8f)]
    [InlineData(1e-6f)]
    public void NumbersBelowTheSmallestScaleAreHandled(float size)
    {
        foreach (WeightFormat format in Formats)
        {
            float[] row = [.. Enumerable.Range(0, 150).Select(i => size * (i % 7 - 3))];
            (sbyte[] values, float[] scales) = Quantize(row, format);
            for (int i = 0; i < row.Length; i++)
            {
                float back = values[i] * scales[i / format.GroupSize];
                Assert.True(MathF.Abs(back - row[i]) <= 3 * size, $"{format}: {row[i]} became {back}");
            }
        }
    }

    [Theory]
    [InlineData(float.NaN, "not finite")]
    [InlineData(float.PositiveInfinity, "not finite")]
    [InlineData(float.NegativeInfinity, "not finite")]
    [InlineData(1e9f, "too large")]
    [InlineData(-float.MaxValue, "too large")]
    public void WhatNoScaleCanHoldIsRefusedWhereverItStands(float value, string why)
    {
        foreach (WeightFormat format in Formats)
        {
            for (int i = 0; i < 150; i++)
            {
                var row = new float[150];
                row[i] = value;
                CheckpointException refusal = Assert.Throws<CheckpointException>(() => Quantize(row, format));
                Assert.Contains(why, refusal.Message, StringComparison.Ordinal);
            }
        }
    }

    private static (sbyte[] Values, float[] Scales) Quantize(float[] row, WeightFormat format)
    {
        var values = new sbyte[row.Length];
        var scales = new float[format.Groups(row.Length)];
        GroupQuantizer.Quantize(row, format, values, scales);
        return (values, scales);
    }

    /// <summary>What a group loses to 4-bit integers of a given scale.</summary>
    private static double SquaredError(float[] group, float scale)
    {
        var values = new sbyte[group.Length];
        GroupRounding.RoundScalar(group, scale == 0 ? 0 : 1 / scale, -8, 7, values);
        return group.Zip(values, (x, q) => Math.Pow(x - (double)q * scale, 2)).Sum();
    }

    private static double Largest(float[] row, int group, int size) => row.Skip(group * size).Take(size).Max(x => Math.Abs((double)x));
}
