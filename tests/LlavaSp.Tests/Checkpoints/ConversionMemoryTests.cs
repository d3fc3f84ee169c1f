using System.Globalization;
using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Quantization;

namespace LlavaSp.Tests.Checkpoints;

/// <summary>Tests that measure the process and so run alone.</summary>
[CollectionDefinition("alone", DisableParallelization = true)]
public sealed class Alone;

/// <summary>Converting streams: memory does not grow with the model.</summary>
[Collection("alone")]
public sealed class ConversionMemoryTests
{
    [Theory]
    [InlineData("int4")]
    [InlineData("f32")]
    public void PeakMemoryIsTheLargestTensorAndTheBuffers(string weights)
    {
        const string Status = "/proc/self/status", Reset = "/proc/self/clear_refs";
        if (!File.Exists(Status) || !File.Exists(Reset)) Assert.Skip("the peak of resident memory can be reset and read on Linux only");
        using var folder = new TemporaryFolder();
        long modelBytes, largest;
        using (ModelCheckpoint synthetic = Model())
        {
            modelBytes = CheckpointConverter.Convert(synthetic, folder["source"], cancellationToken: TestContext.Current.CancellationToken).Bytes;
            largest = synthetic.Catalog.Entries.Values.Max(entry => entry.Info.ByteLength);
        }

        Assert.InRange(modelBytes, 300L << 20, 400L << 20);
        Assert.InRange(largest, 30L << 20, 40L << 20);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        try
        {
            File.WriteAllText(Reset, "5");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Assert.Skip($"the peak of resident memory cannot be reset here: {e.Message}");
        }

        long before = Kilobytes("VmRSS") << 10;
        using (ModelCheckpoint checkpoint = ModelCheckpoint.Open(new ModelLocation(folder["source"])))
        {
            CheckpointConverter.Convert(
                checkpoint, folder["out"], new ConversionOptions { Weights = WeightFormat.Parse(weights) }, TestContext.Current.CancellationToken);
        }

        long growth = (Kilobytes("VmHWM") << 10) - before, bound = largest + (96L << 20);
        TestContext.Current.SendDiagnosticMessage("growth {0} MiB, model {1} MiB, largest tensor {2} MiB", growth >> 20, modelBytes >> 20, largest >> 20);
        Assert.True(growth <= bound, $"{growth >> 20} MiB more than before, allowed {bound >> 20} MiB: the largest tensor's {largest >> 20} and 96 of buffers");

        static long Kilobytes(string field) => long.Parse(
            File.ReadLines(Status).First(line => line.StartsWith(field, StringComparison.Ordinal)).Split([' ', '\t', ':'], StringSplitOptions.RemoveEmptyEntries)[1],
            CultureInfo.InvariantCulture);
    }

    private static ModelCheckpoint Model() => SyntheticModel.Build(
        "memory",
        new DecoderConfig
        {
            HiddenSize = 1024,
            IntermediateSize = 4096,
            Layers = 8,
            Heads = 16,
            KvHeads = 16,
            HeadDim = 64,
            VocabularySize = 16384,
            MaxPositions = 2048,
            NormEpsilon = 1e-5f,
            RopeTheta = 10000,
        },
        new VisionConfig
        {
            ImageSize = 336,
            PatchSize = 14,
            HiddenSize = 128,
            IntermediateSize = 256,
            Layers = 2,
            Heads = 2,
            NormEpsilon = 1e-5f,
            Activation = Activation.QuickGelu,
        },
        SpatialMode.Pooling, 128, 16);
}
