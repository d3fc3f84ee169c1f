namespace LlavaSp.Backends.Cuda;

/// <summary>A launch that was noted instead of made: what the graph's own launch code decided, to be measured by itself, as often as wanted.</summary>
internal sealed unsafe class RecordedLaunch(
    CudaDevice device, string kernel, nint function, int gridX, int gridY, int gridZ, int threads, int sharedBytes, byte[] arguments)
{
    private readonly string _launching = $"launching {kernel}";

    /// <summary>The kernel's name.</summary>
    public string Kernel => kernel;

    /// <summary>Blocks of the grid.</summary>
    public long Blocks => (long)gridX * gridY * gridZ;

    /// <summary>Threads of a block.</summary>
    public int Threads => threads;

    /// <summary>Dynamic shared memory of a block, in bytes.</summary>
    public int SharedBytes => sharedBytes;

    /// <summary>Its blocks that one SM holds at once.</summary>
    public int BlocksPerMultiprocessor()
    {
        device.Context.MakeCurrent();
        int blocks;
        device.Driver.ThrowOnError(
            device.Driver.OccupancyMaxActiveBlocksPerMultiprocessor(&blocks, function, threads, sharedBytes), "cuOccupancyMaxActiveBlocksPerMultiprocessor",
            _launching);
        return blocks;
    }

    /// <summary>Notes it in a graph.</summary>
    public void AddTo(StepGraph graph) => graph.Add(function, gridX, gridY, gridZ, threads, sharedBytes, arguments, _launching);

    /// <summary>Queues it on the device's stream. Allocates nothing.</summary>
    public void Launch()
    {
        fixed (byte* block = arguments)
            device.Launch(function, gridX, gridY, gridZ, threads, sharedBytes, block, arguments.Length, _launching);
    }
}
