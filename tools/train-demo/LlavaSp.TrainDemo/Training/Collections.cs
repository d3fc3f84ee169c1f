using System.Runtime;

namespace LlavaSp.TrainDemo.Training;

/// <summary>
/// Keeps garbage collections to moments when no native call runs. TorchSharp's operators hand libtorch scalars (the alpha of every sum) that only a temporary
/// holds: a collection during such a call finalises one while it is read, and the training fails with an error about its type.
/// </summary>
internal sealed class Collections : IDisposable
{
    // Bytes; a step of the training allocates some megabytes of labels and pictures.
    private const long Budget = 1L << 30, Restart = Budget / 2;

    private long _since;

    public Collections() => Begin();

    /// <summary>To be called where no other thread is in a native call: collects when much was allocated.</summary>
    public void Allow()
    {
        if (GC.GetTotalAllocatedBytes() - _since < Restart) return;
        End();
        Begin();
    }

    public void Dispose() => End();

    private void Begin()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.TryStartNoGCRegion(Budget);
        _since = GC.GetTotalAllocatedBytes();
    }

    // It has ended by itself where more was allocated.
    private static void End()
    {
        if (GCSettings.LatencyMode == GCLatencyMode.NoGCRegion) GC.EndNoGCRegion();
    }
}
