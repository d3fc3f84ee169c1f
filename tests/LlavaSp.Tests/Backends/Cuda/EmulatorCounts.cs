using LlavaSp.Backends.Cuda.Driver;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>What the emulator counts while something runs.</summary>
internal static class EmulatorCounts
{
    /// <summary>Counts an action on the emulator, kernel by kernel over all launches; skips the test elsewhere.</summary>
    public static IReadOnlyDictionary<string, KernelCount> Of(CudaPair pair, Action action)
    {
        Assert.SkipUnless(pair.Cuda.Info.Device == "cuda-emulator", "only the emulator counts");
        var counters = new EmulatorCounters(pair.Cuda.Device.Driver);
        IReadOnlyDictionary<string, KernelCount> counts;
        counters.Begin();
        try
        {
            action();
            pair.Cuda.Synchronize();
        }
        finally
        {
            counts = counters.End();
        }

        return counts;
    }
}
