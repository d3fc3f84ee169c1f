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

    [Theory]
    [InlineData("f16", "--weights int8 fits")]
    [InlineData("int4", "use a larger device, or --device cpu")]
    public void AModelThatDoesNotFitIsRefusedWithThatAdvice(string weights, string advice)
    {
        // The emulator's memory is set for a whole process.
        CudaTesting.Create().Dispose();
        if (CudaTesting.Device != "cuda-emulator") Assert.Skip("only the emulator's memory can be made small");
        using ModelCheckpoint checkpoint = ModelCheckpoint.Open(new ModelLocation(Goldens.Checkpoint("pooling-f32"), null, Generation.TestModels.VisionTower));
        WeightFormat smaller = weights == "f16" ? WeightFormat.Int8() : WeightFormat.Int4();
        // Room for the smaller format, or for not quite so much as the smallest.
        long memory = WeightMemory.Bytes(checkpoint, WeightPlan.For(smaller)) * (weights == "f16" ? 112 : 90) / 100;
        Cli.CliResult result = Cli.CliTool.RunWith(
            [string.Create(System.Globalization.CultureInfo.InvariantCulture, $"LSP_EMULATOR_MEMORY={memory}")],
            "describe", Cli.CliTool.Shapes, "--model", Goldens.Checkpoint("pooling-f32"), "--vision-tower", Generation.TestModels.VisionTower,
            "--device", "cuda-emulator", "--weights", weights);
        result.IsRefusal("out of device memory: ");
        Assert.Contains(" needs ", result.Error, StringComparison.Ordinal);
        Assert.EndsWith(advice, result.Error.TrimEnd(), StringComparison.Ordinal);
    }
}
