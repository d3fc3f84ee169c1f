using LlavaSp.Checkpoints;
using LlavaSp.Graph;
using LlavaSp.Quantization;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>A device that is too small says which weights would fit.</summary>
public sealed class OutOfMemoryTests
{
    [Fact]
    public void TheAdviceIsTheLargestFormatThatFits()
    {
        using ModelCheckpoint checkpoint = ModelCheckpoint.Open(new ModelLocation(Goldens.Checkpoint("pooling-f32"), null, Generation.TestModels.VisionTower));
        long f16 = WeightMemory.Bytes(checkpoint, WeightPlan.For(WeightFormat.F16)), int8 = WeightMemory.Bytes(checkpoint, WeightPlan.For(WeightFormat.Int8()));
        long int4 = WeightMemory.Bytes(checkpoint, WeightPlan.For(WeightFormat.Int4()));
        Assert.True(f16 > int8 && int8 > int4 && int4 > f16 / 4, $"{f16} {int8} {int4}");
        Assert.EndsWith("--weights f16 fits", WeightMemory.Advice(checkpoint, f16 * 2), StringComparison.Ordinal);
        Assert.EndsWith("--weights int8 fits", WeightMemory.Advice(checkpoint, f16), StringComparison.Ordinal);
        Assert.EndsWith("--weights int4 fits", WeightMemory.Advice(checkpoint, int8), StringComparison.Ordinal);
        Assert.EndsWith("use a larger device, or --device cpu", WeightMemory.Advice(checkpoint, int4), StringComparison.Ordinal);
    }
}
