using CsCheck;
using LlavaSp.Backends;
using LlavaSp.Quantization;

namespace LlavaSp.Tests.Quantizers;

/// <summary>What an int8 or f16 key-value cache makes of a head.</summary>
public sealed class KvQuantizerTests
{
    private static readonly Gen<float[]> AnyHead =
        from exponent in Gen.Int[-125, 120]
        from head in Gen.Frequency((8, Gen.Float[-1, 1]), (1, Gen.Const(0f)), (1, Gen.Const(-0f)), (1, Gen.Int[-127, 127].Select(i => i / 127f))).Array[1, 128]
        select Array.ConvertAll(head, x => MathF.ScaleB(x, exponent));

    [Fact]
    public void EveryElementIsWithinHalfAScale() => AnyHead.Sample(head =>
    {
        var values = new sbyte[head.Length];
        float scale = KvQuantizer.Quantize(head, values), largest = head.Max(MathF.Abs);
        Assert.Equal(largest / 127, scale);
        for (int i = 0; i < head.Length; i++)
        {
            Assert.InRange(values[i], -127, 127);
            // Scales below the smallest normal number are not divided by.
            double allowed = scale < 1.17549435e-38f ? largest : 0.5001 * scale;
            Assert.True(Math.Abs(head[i] - (double)values[i] * scale) <= allowed, $"{head[i]:g9} became {values[i]} * {scale:g9}");
        }
    });

    [Fact]
    public void TiesGoToTheEvenInteger()
    {
        var values = new sbyte[5];
        Assert.Equal(1, KvQuantizer.Quantize([127, 0.5f, 1.5f, -2.5f, -3.5f], values));
        Assert.Equal([127, 0, 2, -2, -4], values);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void AHeadThatIsNotFiniteReadsAsNaN(float bad)
    {
        float[] head = [1, bad, 2];
        KvQuantizer.Round(head, KvFormat.Int8);
        Assert.All(head, static x => Assert.True(float.IsNaN(x)));
    }

    [Fact]
    public void HalvesSaturateAndKeepNaN()
    {
        float[] head = [1e6f, float.NegativeInfinity, 65519, 1 / 3f, float.NaN];
        KvQuantizer.Round(head, KvFormat.F16);
        Assert.Equal([65504, -65504, 65504, (float)(Half)(1 / 3f), float.NaN], head);
        float[] exact = [1e30f, 1 / 3f];
        KvQuantizer.Round(exact, KvFormat.F32);
        Assert.Equal([1e30f, 1 / 3f], exact);
    }
}
