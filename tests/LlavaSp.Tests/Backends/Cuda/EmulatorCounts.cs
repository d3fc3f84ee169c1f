using LlavaSp.Backends.Cuda.Driver;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>What the emulator counts while something runs.</summary>
internal static class EmulatorCounts
{
    /// <summary>Counts an action on the emulator, kernel by kernel over all launches; skips the test elsewhere.</summary>
    /// <param name="pair">Its CUDA backend.</param>
    /// <param name="action">What to count.</param>
    /// <param name="cache">Bytes of the second-level cache that is modelled; 0 for none.</param>
    /// <param name="blocks">So many blocks of a launch are run, and results are wrong; 0 for all.</param>
    public static IReadOnlyDictionary<string, KernelCount> Of(CudaPair pair, Action action, long cache = 0, int blocks = 0)
    {
        Assert.SkipUnless(pair.Cuda.Info.Device == "cuda-emulator", "only the emulator counts");
        var counters = new EmulatorCounters(pair.Cuda.Device.Driver);
        IReadOnlyDictionary<string, KernelCount> counts;
        counters.CountCache(cache);
        counters.RunOnly(blocks);
        counters.Begin();
        try
        {
            action();
            pair.Cuda.Synchronize();
        }
        finally
        {
            counts = counters.End();
            counters.RunOnly(0);
            counters.CountCache(0);
        }

        return counts;
    }
}
