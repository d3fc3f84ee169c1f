using LlavaSp.Quantization;

namespace LlavaSp.Backends.Cuda;

/// <summary>One way to compute a matrix product: a family of kernels, one for each kind of weights, and the block that they work in.</summary>
/// <param name="Name">Kernel names are <c>gemv_int4</c>, <c>gemm_int4_64x64</c>: this with the kind at the underscore.</param>
/// <param name="Outputs">Rows of the weight that a block computes; in the gated form half of them are gates.</param>
/// <param name="Tokens">Rows of x that a block computes.</param>
/// <param name="Threads">Threads of a block.</param>
/// <param name="Share">Of the tensor cores' rate that a block of this size can reach, for comparing forms; 0 where weights are streamed once and memory decides.</param>
/// <param name="Reason">When it is the best.</param>
internal sealed record LinearForm(string Name, int Outputs, int Tokens, int Threads, double Share, string Reason)
{
    /// <summary>Whether x is staged by the kernel itself (any element type, RMSNorm if wanted) and weights are streamed past shared memory.</summary>
    public bool Streams => Share == 0;

    /// <summary>The kernel's name for weights of a kind.</summary>
    /// <param name="kind">F16, Int8 or Int4.</param>
    /// <param name="int8Mma">Whether 8-bit weights lie in the order of the integer tensor cores.</param>
    public string KernelName(WeightKind kind, bool int8Mma)
    {
        string text = kind switch
        {
            WeightKind.F16 => "f16",
            WeightKind.Int8 => int8Mma ? "int8mma" : "int8",
            WeightKind.Int4 => "int4",
            _ => throw new ArgumentException($"{kind} weights have no kernels", nameof(kind)),
        };
        string[] parts = Name.Split('_');
        return parts.Length == 1 ? $"{Name}_{text}" : $"{parts[0]}_{text}_{parts[1]}";
    }
}

/// <summary>Which form computes a matrix product, and the grid and shared memory that it takes. Pure functions of the shape.</summary>
internal static class LinearPlan
{
    /// <summary>The forms; each row says when it is the best.</summary>
    public static readonly LinearForm[] Forms =
    [
        new("gemv", 16, 8, 256, 0, "up to 8 rows: weights go from memory to registers once; 16 outputs give small matrices a block for every SM"),
        new("gemv2", 32, 8, 256, 0, "up to 8 rows, enough outputs for three blocks on every SM, or gated: each block stages x, so two row tiles halve that"),
        new("gemv16", 32, 16, 256, 0, "9 to 16 rows: still bound by memory; the same stream of weights for two token tiles"),
        new("gemv32", 32, 32, 256, 0, "17 to 32 rows: the same for four token tiles, the most that registers hold"),
        new("gemm_32x64", 32, 64, 128, 0.50, "33 to 64 rows of a small matrix: more blocks than 64 outputs would give"),
        new("gemm_64x64", 64, 64, 128, 0.75, "few rows or outputs: larger blocks would leave SMs idle"),
        new("gemm_128x64", 128, 64, 128, 0.90, "where blocks of 128 rows fill the last wave badly (4096 outputs by 640 rows on 128 SMs)"),
        new("gemm_128x128", 128, 128, 256, 1.00, "many blocks: operands are used most often"),
    ];

    /// <summary>The form for 8-bit activations and weights: as gemm_128x64, the integer sums of a group and the float32 sums take the registers of a larger block.</summary>
    public static readonly LinearForm Integer = new("gemm_128x64", 128, 64, 256, 0.9, "int8 weights with int8 activations, more than 32 rows");

    /// <summary>Most columns of x, times rows, that a streaming kernel holds in shared memory at once.</summary>
    private const int StagedElements = 16384;

    /// <summary>The form for y [m, n] = x [m, k] W^T.</summary>
    /// <param name="m">Rows of x.</param>
    /// <param name="n">Columns of y.</param>
    /// <param name="multiprocessors">SMs of the device.</param>
    /// <param name="gated">Whether W has 2 n rows, gates above ups.</param>
    public static LinearForm Choose(int m, int n, int multiprocessors, bool gated)
    {
        if (m <= 8) return Forms[gated || (long)n >= 32L * 3 * multiprocessors ? 1 : 0];
        if (m <= 32) return Forms[m <= 16 ? 2 : 3];
        LinearForm best = Forms[^1];
        double least = double.MaxValue;
        foreach (LinearForm form in Forms)
        {
            if (form.Streams) continue;
            (int x, int y) = Grid(form, m, n, gated);
            double waves = Math.Ceiling((double)x * y / multiprocessors), time = waves * form.Outputs * form.Tokens / form.Share;
            // Of equals the larger, which comes later.
            if (time <= least) (best, least) = (form, time);
        }

        return best;
    }

    /// <summary>Blocks: for streaming forms x counts outputs, else x counts tokens and y outputs.</summary>
    public static (int X, int Y) Grid(LinearForm form, int m, int n, bool gated)
    {
        int outputs = CeilDiv(n, gated ? form.Outputs / 2 : form.Outputs);
        return form.Streams ? (outputs, 1) : (CeilDiv(m, form.Tokens), outputs);
    }

    /// <summary>Columns of x that a streaming kernel stages at once: a multiple of what its warps take in one stage, 2048 (gemv) or 512 (the others).</summary>
    public static int Chunk(LinearForm form, int m)
    {
        int unit = form.Tokens == 8 ? 2048 : 512;
        return Math.Max(unit, StagedElements / m / unit * unit);
    }

    /// <summary>Dynamic shared memory of a block.</summary>
    public static int SharedBytes(LinearForm form, WeightKind kind, int m, int k)
    {
        if (form.Streams)
        {
            // Factors of RMSNorm, and x at a stride of 8 elements more; at the end the sums of 8 warps for 8 tokens.
            int staged = 32 * sizeof(float) + m * (Math.Min(Chunk(form, m), (k + 63) / 64 * 64) + 8) * sizeof(ushort);
            return Math.Max(staged, 8 * form.Outputs * 10 * sizeof(float));
        }

        int columns = kind == WeightKind.Int4 ? 64 : 32;
        int weights = form.Outputs * columns * (kind == WeightKind.F16 ? 16 : kind == WeightKind.Int8 ? 8 : 4) / 8;
        int scales = kind == WeightKind.F16 ? 0 : form.Outputs / 16 * 32 * (columns / 32);
        int stages = (form.Outputs >= 128 ? 3 : 4) - (kind == WeightKind.Int4 ? 1 : 0);
        return Math.Max(stages * (weights + scales + form.Tokens * columns * sizeof(ushort)), StagedSums(form));
    }

    /// <summary>Most shared memory that any shape takes: the driver is told once.</summary>
    public static int MaxSharedBytes(LinearForm form, WeightKind kind) => SharedBytes(form, kind, form.Streams ? form.Tokens : 1, int.MaxValue / 2);

    /// <summary>What the warps need at the end to turn their sums into lines: 8 tokens of 32 outputs each, and 4 floats between tokens; 8 warps at most.</summary>
    private static int StagedSums(LinearForm form) => form.Threads / 32 * 8 * (32 + 4) * sizeof(float);

    private static int CeilDiv(int a, int b) => (a + b - 1) / b;
}
