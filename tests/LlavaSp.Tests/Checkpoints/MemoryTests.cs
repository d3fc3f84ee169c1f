using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Quantization;

namespace LlavaSp.Tests.Checkpoints;

/// <summary>Converting streams, and loading keeps what it makes: memory does not grow with what is read.</summary>
[Collection("alone")]
public sealed class MemoryTests
{
    // What does not depend on the size of the checkpoint: rows on their way, scratch memory of the threads, managed memory that is not yet collected, code.
    private const long Buffers = 96L << 20, NativeBuffers = 64L << 20;

    [Theory]
    [InlineData("int4")]
    [InlineData("f32")]
    public void ConvertingTakesTheLargestTensorAndTheBuffers(string weights)
    {
        using var folder = new TemporaryFolder();
        long largest = MediumModel.Write(folder["source"]).Largest;
        ResidentMemory memory = ResidentMemory.Begin();
        using (ModelCheckpoint checkpoint = ModelCheckpoint.Open(new ModelLocation(folder["source"])))
        {
            CheckpointConverter.Convert(
                checkpoint, folder["out"], new ConversionOptions { Weights = WeightFormat.Parse(weights) }, TestContext.Current.CancellationToken);
        }

        long growth = memory.Growth, bound = largest + Buffers;
        Assert.True(growth <= bound, $"{growth >> 20} MiB more than before, allowed {bound >> 20} MiB: the largest tensor's {largest >> 20} and the buffers");
    }

    [Theory]
    [InlineData("int4", "cpu")]
    [InlineData("int8", "cpu")]
    [InlineData("f16", "cpu")]
    [InlineData("f32", "cpu")]
    [InlineData("f32", "reference")]
    public void LoadingTakesTheWeightsAndTwoOfTheLargestTensors(string weights, string device)
    {
        using var folder = new TemporaryFolder();
        long largest = MediumModel.Write(folder["source"]).Largest;
        var options = new LoadOptions { Device = new DeviceOptions(device), Weights = WeightFormat.Parse(weights) };
        ResidentMemory memory = ResidentMemory.Begin();
        using ModelCheckpoint checkpoint = ModelCheckpoint.Open(new ModelLocation(folder["source"]));
        using LlavaSpModel model = LlavaSpModel.Load(checkpoint, null, options, 0);
        long growth = memory.Growth, bound = model.WeightBytes + 2 * largest + (device == "reference" ? Buffers : NativeBuffers);
        TestContext.Current.SendDiagnosticMessage("growth {0} MiB, weights {1} MiB, largest tensor {2} MiB", growth >> 20, model.WeightBytes >> 20, largest >> 20);
        Assert.True(
            growth <= bound, $"{growth >> 20} MiB more than before, allowed {bound >> 20} MiB: {model.WeightBytes >> 20} of weights, two tensors of {largest >> 20} and the buffers");
    }
}
