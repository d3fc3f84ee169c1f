using LlavaSp.Backends.Reference;
using LlavaSp.Checkpoints;
using LlavaSp.Graph;

namespace LlavaSp.Tests.Graph;

/// <summary>Rotary tables against the formulas of transformers 4.37, in double precision.</summary>
public sealed class RopeTests
{
    private const int Trained = 64;

    [Theory]
    [InlineData(RopeScalingKind.None, 1, 128, 10000)]
    [InlineData(RopeScalingKind.None, 1, 16, 1e6)]
    [InlineData(RopeScalingKind.Linear, 4, 128, 10000)]
    [InlineData(RopeScalingKind.Linear, 2.5, 16, 10000)]
    [InlineData(RopeScalingKind.Dynamic, 4, 128, 10000)]
    public void TablesAreTheFormulas(RopeScalingKind kind, double factor, int headDim, double theta)
    {
        DecoderConfig config = Config(kind, factor, headDim, theta);
        using var rope = new Rope(new ReferenceBackend(), config, Trained * 4);
        Check(rope, config, 0, Trained * 4, theta);
    }

    [Fact]
    public void BeyondTheTrainedLengthDynamicScalingStretchesTheBase()
    {
        DecoderConfig config = Config(RopeScalingKind.Dynamic, 4, 16, 10000);
        using var rope = new Rope(new ReferenceBackend(), config, 256);
        rope.Extend(0, Trained);
        Check(rope, config, 0, 256, 10000);
        Assert.True(rope.KeysStay(Trained));
        Assert.False(rope.KeysStay(Trained + 1));

        // A prompt of 100 positions takes the base of that length for all of them.
        rope.Extend(0, 100);
        Check(rope, config, 0, 100, Stretched(config, 100));
        Assert.False(rope.KeysStay(10));
        // A step changes its own row alone: earlier keys were rotated already.
        rope.Extend(100, 101);
        Check(rope, config, 0, 100, Stretched(config, 100));
        Check(rope, config, 100, 101, Stretched(config, 101));
        rope.Extend(101, 102);
        Check(rope, config, 100, 101, Stretched(config, 101));
        Check(rope, config, 101, 102, Stretched(config, 102));
        rope.Extend(255, 256);
        Check(rope, config, 255, 256, Stretched(config, 256));

        rope.Reset();
        Assert.True(rope.KeysStay(Trained));
        Check(rope, config, 0, 256, 10000);
    }

    [Fact]
    public void StepsAcrossTheTrainedLengthKeepTheRowsBefore()
    {
        DecoderConfig config = Config(RopeScalingKind.Dynamic, 2, 16, 10000);
        using var rope = new Rope(new ReferenceBackend(), config, Trained + 4);
        rope.Extend(0, Trained - 1);
        for (int length = Trained; length <= Trained + 4; length++) rope.Extend(length - 1, length);
        Check(rope, config, 0, Trained, 10000);
        for (int row = Trained; row < Trained + 4; row++) Check(rope, config, row, row + 1, Stretched(config, row + 1));
    }

    [Fact]
    public void OtherScalingsNeverChange()
    {
        foreach (RopeScalingKind kind in (RopeScalingKind[])[RopeScalingKind.None, RopeScalingKind.Linear])
        {
            DecoderConfig config = Config(kind, kind == RopeScalingKind.None ? 1 : 2, 16, 10000);
            using var rope = new Rope(new ReferenceBackend(), config, 200);
            rope.Extend(0, 150);
            rope.Extend(150, 151);
            Assert.True(rope.KeysStay(200));
            Check(rope, config, 0, 200, 10000);
        }
    }

    /// <summary>LlamaDynamicNTKScalingRotaryEmbedding._set_cos_sin_cache.</summary>
    private static double Stretched(DecoderConfig config, int length) => config.RopeTheta * Math.Pow(
        config.RopeFactor * length / config.MaxPositions - (config.RopeFactor - 1), config.HeadDim / (config.HeadDim - 2.0));

    private static void Check(Rope rope, DecoderConfig config, int first, int end, double theta)
    {
        float[] cos = rope.Table.Cos.ToArray(), sin = rope.Table.Sin.ToArray();
        int half = config.HeadDim / 2;
        for (int row = first; row < end; row++)
        {
            for (int i = 0; i < half; i++)
            {
                double position = config.RopeScaling == RopeScalingKind.Linear ? row / config.RopeFactor : row;
                double angle = position / Math.Pow(theta, 2.0 * i / config.HeadDim);
                // Base, exponent, power, reciprocal and product are rounded to float32, half a unit each; then the function itself.
                double bound = 4e-7 * angle + 1.2e-7;
                Assert.InRange(cos[row * half + i], Math.Cos(angle) - bound, Math.Cos(angle) + bound);
                Assert.InRange(sin[row * half + i], Math.Sin(angle) - bound, Math.Sin(angle) + bound);
            }
        }
    }

    private static DecoderConfig Config(RopeScalingKind kind, double factor, int headDim, double theta) => new()
    {
        HiddenSize = 4 * headDim,
        IntermediateSize = 8,
        Layers = 1,
        Heads = 4,
        KvHeads = 4,
        HeadDim = headDim,
        VocabularySize = 10,
        MaxPositions = Trained,
        NormEpsilon = 1e-5f,
        RopeTheta = theta,
        RopeScaling = kind,
        RopeFactor = factor,
    };
}
