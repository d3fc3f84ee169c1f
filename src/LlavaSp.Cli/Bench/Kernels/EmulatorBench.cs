using LlavaSp.Backends.Cuda;
using LlavaSp.Backends.Cuda.Driver;

namespace LlavaSp.Cli.Bench.Kernels;

/// <summary>What the emulator counted of one launch of a case.</summary>
/// <param name="Case">The case.</param>
/// <param name="Threads">Threads of a block.</param>
/// <param name="SharedBytes">Dynamic shared memory of a block.</param>
/// <param name="Blocks">Blocks of the grid.</param>
internal sealed record EmulatorResult(KernelCase Case, int Threads, int SharedBytes, long Blocks)
{
    /// <summary>Bytes between memory and a second-level cache of <see cref="Card.SmallestCache"/>; NaN where too few blocks ran to tell.</summary>
    public required double MemoryBytes { get; init; }

    /// <summary>The same behind a cache of <see cref="Card.LargeCache"/>, for a case that asks for more than the bar behind the small one; else NaN.</summary>
    public double LargeCacheMemoryBytes { get; init; } = double.NaN;

    /// <summary>Bytes between the SMs and the second-level cache, in whole sectors.</summary>
    public required double CacheBytes { get; init; }

    /// <summary>Least share of useful bytes in the sectors of a main loop's accesses.</summary>
    public required double SectorEfficiency { get; init; }

    /// <summary>Wavefronts of shared memory beyond the least, in the main loops.</summary>
    public required double Conflicts { get; init; }

    /// <summary>mma of a warp (16 x 8 x 16 halves, or 16 x 8 x 32 bytes).</summary>
    public required double Mma { get; init; }

    /// <summary>What is moved against what must be; NaN where it was not counted, or where a launch is too small for it to matter.</summary>
    public double MemoryRatio => Case.Bound == KernelBound.Launch ? double.NaN : MemoryBytes / Case.MinimumBytes;

    /// <summary>The same behind the larger cache; NaN where it was not asked for.</summary>
    public double LargeCacheMemoryRatio => LargeCacheMemoryBytes / Case.MinimumBytes;

    /// <summary>Whether it moves more than the bar allows behind the smallest cache.</summary>
    public bool ExceedsSmallestCache => Case.Bound == KernelBound.Memory && !(MemoryRatio <= KernelBars.MemoryRatio);

    /// <summary>Share of an SM's warps that its blocks fill; NaN for a kernel that nvcc has not seen.</summary>
    public double Occupancy(KernelBudget budget, Card card) =>
        budget.Registers(Case.Kernel, card.Architecture) is { } registers ? card.Occupancy(registers, Threads, SharedBytes) : double.NaN;

    /// <summary>The least of the cards.</summary>
    public double LeastOccupancy(KernelBudget budget) => Card.All.Min(card => Occupancy(budget, card));
}

/// <summary>Counts what kernels move, one launch at a time, on the emulator.</summary>
internal sealed class EmulatorBench(CudaBackend backend)
{
    // A place belongs to a main loop if it makes so much of a kernel's traffic of its kind.
    private const double MainShare = 0.05;

    // Bound by arithmetic and so long: minutes for all blocks, which do the same.
    private const double OperationsOfSample = 5e9;
    private const int SampledBlocks = 6;

    // Streams of weights that are so long: a part of the blocks, each with weights of its own.
    private const double BytesOfSample = 500e6;
    private const int SampledShare = 8;

    private readonly EmulatorCounters _counters = new(backend.Device.Driver);

    /// <summary>Runs a case once: all its blocks, or some of them where that takes long.</summary>
    public EmulatorResult Measure(KernelCase kernel)
    {
        using PreparedCase prepared = kernel.Prepare(backend);
        bool products = kernel.Bound == KernelBound.Arithmetic && kernel.Operations > OperationsOfSample, stream = kernel.MinimumBytes > BytesOfSample;
        int blocks = products ? SampledBlocks : stream ? (int)Math.Max(SampledBlocks, prepared.Recorded.Blocks / SampledShare) : 0;
        (KernelCount count, IReadOnlyList<SiteCount> sites) = Count(prepared.Recorded, blocks, products ? 0 : Card.SmallestCache);
        double scale = (double)prepared.Recorded.Blocks / count.CountedBlocks;
        List<SiteCount> global = MainLoops(sites.Where(static site => site.Access is AccessKind.Load or AccessKind.Store));
        List<SiteCount> shared = MainLoops(sites.Where(static site => site.Access is AccessKind.SharedLoad or AccessKind.SharedStore));
        var result = new EmulatorResult(kernel, prepared.Recorded.Threads, prepared.Recorded.SharedBytes, prepared.Recorded.Blocks)
        {
            MemoryBytes = products ? double.NaN : count.MemoryBytesOfAllBlocks,
            CacheBytes = 32 * scale * (count.LoadSectors + count.StoreSectors),
            SectorEfficiency = global.Count == 0 ? 1 : global.Min(static site => (double)site.LeastUnits / site.Units),
            Conflicts = scale * shared.Sum(static site => (double)(site.Units - site.LeastUnits)),
            Mma = scale * (count.MmaF16 + count.MmaS8),
        };
        return result.ExceedsSmallestCache
            ? result with { LargeCacheMemoryBytes = Count(prepared.Recorded, blocks, Card.LargeCache).Count.MemoryBytesOfAllBlocks }
            : result;
    }

    /// <summary>Bytes between memory and a small second-level cache in one launch that was recorded.</summary>
    public double MemoryBytes(RecordedLaunch launch)
    {
        (KernelCount count, _) = Count(launch, 0, Card.SmallestCache);
        return count.MemoryBytesOfAllBlocks;
    }

    private (KernelCount Count, IReadOnlyList<SiteCount> Sites) Count(RecordedLaunch launch, int blocks, long cache)
    {
        // What fills the memory is not to be counted.
        backend.Synchronize();
        _counters.RunOnly(blocks);
        _counters.CountCache(cache);
        try
        {
            _counters.Begin();
            launch.Launch();
            backend.Synchronize();
        }
        finally
        {
            _counters.RunOnly(0);
        }

        KernelCount count = _counters.End()[launch.Kernel];
        return (count, _counters.Sites());
    }

    private static List<SiteCount> MainLoops(IEnumerable<SiteCount> sites)
    {
        List<SiteCount> all = [.. sites];
        double total = all.Sum(static site => (double)site.Units);
        return all.FindAll(site => site.Units >= MainShare * total);
    }
}
