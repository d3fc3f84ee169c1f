using LlavaSp.Backends;
using LlavaSp.Checkpoints;

namespace LlavaSp.Tests.Checkpoints;

/// <summary>A checkpoint on disk that is large beside buffers and short work: 300 to 400 MB of halves, the largest tensor 32 MiB.</summary>
internal static class MediumModel
{
    /// <summary>Writes it.</summary>
    /// <returns>Bytes of all tensors, and of the largest.</returns>
    public static (long All, long Largest) Write(string folder)
    {
        using ModelCheckpoint synthetic = SyntheticModel.Build(
            "medium", Shapes.Decoder(1024, 4096, 8, 16, 16, 64, 16384), Shapes.Tower(128, 256, 2, 2), SpatialMode.Pooling, 128, 16);
        long bytes = CheckpointConverter.Convert(synthetic, folder, cancellationToken: TestContext.Current.CancellationToken).Bytes;
        long largest = synthetic.Catalog.Entries.Values.Max(entry => entry.Info.ByteLength);
        Assert.InRange(bytes, 300L << 20, 400L << 20);
        Assert.InRange(largest, 30L << 20, 40L << 20);
        return (bytes, largest);
    }
}
