using System.Globalization;

namespace LlavaSp.Cli.Bench.Kernels;

/// <summary>What every kernel is held to.</summary>
internal static class KernelBars
{
    /// <summary>Share of useful bytes in the sectors that a main loop moves.</summary>
    public const double SectorEfficiency = 0.95;

    /// <summary>Bytes from memory against the least, where memory is the bound; the same for a whole decoded token.</summary>
    public const double MemoryRatio = 1.05;

    /// <summary>Occupancy that needs no reason.</summary>
    public const double Occupancy = 0.5;

    /// <summary>Launches of a decoder layer for each token.</summary>
    public const int LaunchesOfLayer = 6;

    // The first families whose name begins the kernel's is its own. The notes at the head of the files in kernels/ say more.
    private static readonly (string Kernels, string Reason)[] Reasons =
    [
        ("vision_attention", "queries, scores and output of a warp stay in registers, 16 independent products in flight; the grid does not fill more"),
        ("prefill_attention", "queries, scores and output of a warp stay in registers, 8 or more independent products in flight"),
        ("decode_attention", "bytes under way count, not warps: two stages of keys and values are 64 KB a block, where 5 KB hide the latency"),
        ("gemm_int8", "32 sums and the operands of two steps in registers, each operand used several times; 2 blocks of 8 warps"),
        ("gemm", "up to 64 float32 sums a thread and operands that are used 2 to 8 times keep the tensor cores busy with few warps"),
        ("gemv32", "32 sums and four tiles of tokens in registers; two blocks of 8 warps have 32 KB or more under way"),
        ("gemv16", "three blocks of 8 warps have 48 KB or more under way, where 20 KB hide the latency of the fastest memory"),
        ("gemv", "three blocks of 8 warps have 48 KB or more under way, where 20 KB hide the latency of the fastest memory"),
        ("spatial_tokens", "two blocks of 16 warps have 32 to 64 KB of weights under way, where 20 KB hide the latency of the fastest memory"),
        ("fusion_conv", "one block of 8 or 16 warps for each SM: more would raise the partial sums above their bound"),
        ("fusion_attention", "one block of 8 warps for each token, 6 of a picture: registers are better spent than on blocks that do not exist"),
        ("patch_embedding", "one block of 16 warps: 73 blocks do not fill the SMs once"),
        ("sample_choose", "one block of all threads that fit"),
    ];

    /// <summary>Why a kernel has no main loop that could be coalesced; null for all others.</summary>
    public static string? Scatters(string kernel) =>
        kernel == "sample_masses" ? "it counts into the ranges of score that the logits fall into: where it writes depends on their values" : null;

    /// <summary>Why a kernel may fill less than half of an SM; null where nothing is written.</summary>
    public static string? Reason(string kernel) =>
        Reasons.FirstOrDefault(reason => kernel.StartsWith(reason.Kernels, StringComparison.Ordinal)).Reason;

    /// <summary>The family of kernels that a reason is for.</summary>
    public static string? Family(string kernel) =>
        Reasons.FirstOrDefault(reason => kernel.StartsWith(reason.Kernels, StringComparison.Ordinal)).Kernels;

    /// <summary>Bars that a result breaks, in words.</summary>
    public static IEnumerable<string> Broken(EmulatorResult result, KernelBudget budget)
    {
        string name = result.Case.Name;
        bool scatters = Scatters(result.Case.Kernel) is not null;
        if (!(result.SectorEfficiency >= SectorEfficiency) && !scatters) yield return $"{name}: {Percent(result.SectorEfficiency)} of its sectors are used";
        if (result.Conflicts > 0 && !scatters) yield return string.Create(CultureInfo.InvariantCulture, $"{name}: {result.Conflicts:f0} wavefronts too many");
        if (result.ExceedsSmallestCache && !KeepsBytesInLargeCache(result))
            yield return $"{name}: {Percent(result.MemoryRatio)} of the least bytes";
        double occupancy = result.LeastOccupancy(budget);
        if (occupancy < Occupancy && Reason(result.Case.Kernel) is null) yield return $"{name}: occupancy {Percent(occupancy)} without a reason";
    }

    /// <summary>What keeps the bar only where the second-level cache is larger than the smallest of the cards, in words; else null.</summary>
    public static string? WantsLargerCache(EmulatorResult result) => !result.ExceedsSmallestCache || !KeepsBytesInLargeCache(result)
        ? null
        : string.Create(
            CultureInfo.InvariantCulture,
            $"{result.Case.Name}: {result.MemoryRatio:f3} of the least bytes, {result.LargeCacheMemoryRatio:f3} with {Card.LargeCache >> 20} MB");

    // Several pictures may have more features than the smallest card's cache holds; one has not.
    private static bool KeepsBytesInLargeCache(EmulatorResult result) => result.Case.Batch > 1 && result.LargeCacheMemoryRatio <= MemoryRatio;

    private static string Percent(double share) => string.Create(CultureInfo.InvariantCulture, $"{100 * share:f1} %");
}
