namespace LlavaSp.Cli.Bench.Kernels;

/// <summary>
/// A card as its maker describes it. Figures are those of public data sheets: GeForce RTX 4090 (Ada architecture white paper), Jetson AGX Orin 64 GB (Orin
/// technical brief; tensor figures are half of its sparse ones), A100 80 GB SXM and H100 SXM (data sheets, dense). Limits of an SM are those of the CUDA C++
/// programming guide, table of compute capabilities.
/// </summary>
/// <param name="Name">Name.</param>
/// <param name="Architecture">Key of the kernels' budget.</param>
/// <param name="Multiprocessors">SMs.</param>
/// <param name="MemoryBytes">Bytes per second of its memory.</param>
/// <param name="F16">Dense f16 tensor operations per second with float32 sums.</param>
/// <param name="Int8">Dense 8-bit tensor operations per second.</param>
/// <param name="CacheBytes">Second-level cache.</param>
/// <param name="SharedBytes">Shared memory of an SM.</param>
/// <param name="Warps">Warps that an SM holds.</param>
/// <param name="Blocks">Blocks that an SM holds.</param>
internal sealed record Card(
    string Name, string Architecture, int Multiprocessors, double MemoryBytes, double F16, double Int8, long CacheBytes, int SharedBytes, int Warps, int Blocks)
{
    private const int Registers = 65536, RegisterUnit = 256, WarpSize = 32, SharedUnit = 128;

    // What the driver takes of an SM's shared memory for each block.
    private const int ReservedSharedBytes = 1024;

    /// <summary>The cards of the table of floors; the first is the one that launches are planned for.</summary>
    public static IReadOnlyList<Card> All { get; } =
    [
        new("RTX 4090", "sm_89", 128, 1008e9, 165.2e12, 660.6e12, 72L << 20, 100 << 10, 48, 24),
        new("Jetson AGX Orin", "sm_87", 16, 204.8e9, 42.5e12, 85e12, 4L << 20, 164 << 10, 48, 16),
        new("A100", "sm_80", 108, 2039e9, 312e12, 624e12, 40L << 20, 164 << 10, 64, 32),
        new("H100", "sm_90", 132, 3352e9, 989.4e12, 1978.9e12, 50L << 20, 228 << 10, 64, 32),
    ];

    /// <summary>The smallest second-level cache of the cards: what the emulator models.</summary>
    public static long SmallestCache { get; } = All.Min(card => card.CacheBytes);

    /// <summary>The smallest of the other cards.</summary>
    public static long LargeCache { get; } = All.Where(static card => card.CacheBytes != SmallestCache).Min(static card => card.CacheBytes);

    /// <summary>Seconds for the least bytes of a case.</summary>
    public double MemorySeconds(KernelCase kernel) => kernel.MinimumBytes / MemoryBytes;

    /// <summary>Seconds for its operations; 0 where ordinary units do them.</summary>
    public double ArithmeticSeconds(KernelCase kernel) => kernel.Unit switch
    {
        ArithmeticUnit.TensorF16 => kernel.Operations / F16,
        ArithmeticUnit.TensorInt8 => kernel.Operations / Int8,
        _ => 0,
    };

    /// <summary>The least that a launch can take, beside its latency.</summary>
    public double FloorSeconds(KernelCase kernel) => Math.Max(MemorySeconds(kernel), ArithmeticSeconds(kernel));

    /// <summary>Share of an SM's warps that blocks of a kernel fill, where there are enough of them.</summary>
    /// <param name="registers">Registers of a thread.</param>
    /// <param name="threads">Threads of a block, a multiple of 32.</param>
    /// <param name="sharedBytes">Dynamic shared memory of a block.</param>
    public double Occupancy(int registers, int threads, int sharedBytes)
    {
        int warps = threads / WarpSize, ofWarp = (registers * WarpSize + RegisterUnit - 1) / RegisterUnit * RegisterUnit;
        // Registers are given out by each of an SM's four schedulers, a warp at a time.
        int byRegisters = Registers / 4 / ofWarp * 4 / warps;
        int byShared = SharedBytes / ((sharedBytes + SharedUnit - 1) / SharedUnit * SharedUnit + ReservedSharedBytes);
        return (double)Math.Min(Math.Min(byRegisters, byShared), Math.Min(Warps / warps, Blocks)) * warps / Warps;
    }
}
