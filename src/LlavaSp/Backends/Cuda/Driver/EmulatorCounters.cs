using System.Runtime.InteropServices;
using System.Text;

namespace LlavaSp.Backends.Cuda.Driver;

/// <summary>
/// What a kernel moved in the blocks that were counted, over all its launches (LspEmulatorCount of the emulator's driver.h). A sector is 32 bytes of global
/// memory: "least" is what the same bytes would take if they lay together, "different" counts each only once per launch. A wavefront is what shared memory does
/// at once: those beyond the least are bank conflicts.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal record struct KernelCount
{
    public ulong Launches, Blocks, CountedBlocks;
    public ulong LoadBytes, LoadSectors, LoadLeastSectors, LoadDifferentSectors;
    public ulong StoreBytes, StoreSectors, StoreLeastSectors, StoreDifferentSectors;
    public ulong SharedRequests, SharedWavefronts, SharedLeastWavefronts;
    public ulong MmaF16, MmaS8, AsyncBytes;

    /// <summary>Bytes that pass between the modelled second-level cache and memory, where one was asked for.</summary>
    public ulong MemoryReadBytes, MemoryWrittenBytes;

    /// <summary>Both, as many for the blocks that were not counted as for those that were.</summary>
    public readonly double MemoryBytesOfAllBlocks => (MemoryReadBytes + MemoryWrittenBytes) * ((double)Blocks / CountedBlocks);
}

/// <summary>What an access is.</summary>
internal enum AccessKind
{
    /// <summary>A load of global memory: units are sectors.</summary>
    Load,

    /// <summary>A store of global memory.</summary>
    Store,

    /// <summary>A load of shared memory: units are wavefronts.</summary>
    SharedLoad,

    /// <summary>A store of shared memory.</summary>
    SharedStore,
}

/// <summary>The same for one place in a kernel's code.</summary>
/// <param name="Kernel">Kernel.</param>
/// <param name="Place"><c>file+offset</c>, for addr2line.</param>
/// <param name="Access">Kind.</param>
/// <param name="LaneBytes">Bytes of a lane.</param>
/// <param name="Requests">Accesses of warps.</param>
/// <param name="Units">Sectors or wavefronts.</param>
/// <param name="LeastUnits">The least that the same bytes would take.</param>
internal sealed record SiteCount(string Kernel, string Place, AccessKind Access, int LaneBytes, ulong Requests, ulong Units, ulong LeastUnits);

/// <summary>The emulator's counters: one user at a time.</summary>
internal sealed unsafe class EmulatorCounters
{
    private const int KernelBytes = 96, PlaceBytes = 128, SiteBytes = KernelBytes + PlaceBytes + 2 * sizeof(int) + 3 * sizeof(ulong);

    private readonly delegate* unmanaged<int, void> _begin;
    private readonly delegate* unmanaged<byte*, int, int> _end;
    private readonly delegate* unmanaged<byte*, int, int> _sites;
    private readonly delegate* unmanaged<int, void> _runOnly;
    private readonly delegate* unmanaged<ulong, void> _countCache;

    /// <summary>Finds the counters of a library.</summary>
    /// <exception cref="DeviceException">It is not the emulator, or one without counters.</exception>
    public EmulatorCounters(CudaDriver driver)
    {
        _begin = (delegate* unmanaged<int, void>)driver.EmulatorExport("lspEmulatorCountBegin");
        _end = (delegate* unmanaged<byte*, int, int>)driver.EmulatorExport("lspEmulatorCountEnd");
        _sites = (delegate* unmanaged<byte*, int, int>)driver.EmulatorExport("lspEmulatorCountSites");
        _runOnly = (delegate* unmanaged<int, void>)driver.EmulatorExport("lspEmulatorRunOnly");
        _countCache = (delegate* unmanaged<ulong, void>)driver.EmulatorExport("lspEmulatorCountCache");
    }

    /// <summary>Runs only so many blocks of each launch, evenly spread; 0 runs all.</summary>
    public void RunOnly(int blocks) => _runOnly(blocks);

    /// <summary>Models a second-level cache of so many bytes, empty before each launch and written back after it; 0 models none.</summary>
    public void CountCache(long bytes) => _countCache((ulong)bytes);

    /// <summary>Counts what is launched from now on; of each launch at most so many blocks, evenly spread, 0 for all.</summary>
    public void Begin(int blocksOfLaunch = 0) => _begin(blocksOfLaunch);

    /// <summary>Ends it, after all work is done.</summary>
    /// <returns>Counts by the name of the kernel.</returns>
    public IReadOnlyDictionary<string, KernelCount> End()
    {
        int size = KernelBytes + sizeof(KernelCount);
        var counts = new Dictionary<string, KernelCount>();
        foreach (byte[] entry in Entries(_end, size)) counts[Text(entry.AsSpan(0, KernelBytes))] = MemoryMarshal.Read<KernelCount>(entry.AsSpan(KernelBytes));
        return counts;
    }

    /// <summary>The places of the last count.</summary>
    public IReadOnlyList<SiteCount> Sites() =>
    [
        .. Entries(_sites, SiteBytes).Select(static entry =>
        {
            ReadOnlySpan<byte> numbers = entry.AsSpan(KernelBytes + PlaceBytes);
            ReadOnlySpan<int> kind = MemoryMarshal.Cast<byte, int>(numbers[..8]);
            ReadOnlySpan<ulong> units = MemoryMarshal.Cast<byte, ulong>(numbers[8..]);
            return new SiteCount(
                Text(entry.AsSpan(0, KernelBytes)), Text(entry.AsSpan(KernelBytes, PlaceBytes)), (AccessKind)kind[0], kind[1], units[0], units[1], units[2]);
        }),
    ];

    // The end of a count gives its numbers away once: room for all kernels there are.
    private static List<byte[]> Entries(delegate* unmanaged<byte*, int, int> function, int size)
    {
        const int capacity = 4096;
        var buffer = new byte[capacity * size];
        int count;
        fixed (byte* data = buffer) count = function(data, capacity);
        return [.. Enumerable.Range(0, Math.Min(count, capacity)).Select(i => buffer.AsSpan(i * size, size).ToArray())];
    }

    private static string Text(ReadOnlySpan<byte> field) => Encoding.UTF8.GetString(field[..field.IndexOf((byte)0)]);
}
