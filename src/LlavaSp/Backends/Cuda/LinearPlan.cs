using LlavaSp.Quantization;

namespace LlavaSp.Backends.Cuda;

/// <summary>How a form reads its operands.</summary>
internal enum LinearKind
{
    /// <summary>Weights go from memory to registers once; x of any type, with RMSNorm if wanted, is staged by every block (linear_gemv.cu).</summary>
    Streaming,

    /// <summary>Both operands come through shared memory; x is f16, or bf16 as the weights are (linear_gemm.cu).</summary>
    Tiled,

    /// <summary>As Tiled, x and weights 8-bit integers (linear_int8.cu).</summary>
    Integer,
}

/// <summary>One way to compute a matrix product: a family of kernels, one for each kind of weights, and the block that they work in.</summary>
/// <param name="Kind">How it reads its operands.</param>
/// <param name="Outputs">Rows of the weight that a block computes; in the gated form half of them are gates.</param>
/// <param name="Tokens">Rows of x that a block computes.</param>
/// <param name="Threads">Threads of a block.</param>
/// <param name="Share">Of the tensor cores' rate that a block of this size can reach: for comparing tiled forms.</param>
/// <param name="Reason">When it is the best.</param>
internal sealed record LinearForm(LinearKind Kind, int Outputs, int Tokens, int Threads, double Share, string Reason)
{
    private readonly string[] _names = new string[5];

    /// <summary>The kernel's name for weights of a format.</summary>
    /// <param name="kind">F16, BF16, Int8 or Int4.</param>
    /// <param name="group">Columns that share a scale.</param>
    /// <param name="int8Mma">Whether 8-bit weights lie in the order of the integer tensor cores.</param>
    public string KernelName(WeightKind kind, int group, bool int8Mma)
    {
        if (Kind == LinearKind.Integer) return group == 32 ? "gemm_int8_int8_group32" : "gemm_int8_int8";
        (int slot, string weights) = kind switch
        {
            WeightKind.F16 => (0, "f16"),
            WeightKind.Int8 => int8Mma ? (1, "int8mma") : (2, "int8"),
            WeightKind.Int4 => (3, "int4"),
            WeightKind.BF16 => (4, "bf16"),
            _ => throw new ArgumentException($"{kind} weights have no kernels", nameof(kind)),
        };
        return _names[slot] ??= Kind == LinearKind.Tiled ? $"gemm_{weights}_{Outputs}x{Tokens}" : (Outputs, Tokens) switch
        {
            (16, _) => $"gemv_{weights}",
            (_, 8) => $"gemv2_{weights}",
            _ => $"gemv{Tokens}_{weights}",
        };
    }
}

/// <summary>Which form computes a matrix product, and the grid and shared memory that it takes. Pure functions of the shape.</summary>
internal static class LinearPlan
{
    /// <summary>The forms; each row says when it is the best.</summary>
    public static readonly LinearForm[] Forms =
    [
        new(LinearKind.Streaming, 16, 8, 256, 1, "up to 8 rows: bound by memory; 16 outputs give small matrices a block for every SM"),
        new(LinearKind.Streaming, 32, 8, 256, 1, "up to 8 rows, gated or with blocks for every SM (three each up to 2 rows): x is staged half as often"),
        new(LinearKind.Streaming, 32, 16, 256, 1, "9 to 16 rows: still bound by memory; the same stream of weights for two token tiles"),
        new(LinearKind.Streaming, 32, 32, 256, 1, "17 to 32 rows: the same for four token tiles, the most that registers hold"),
        new(LinearKind.Tiled, 32, 64, 128, 0.50, "33 to 64 rows of a small matrix: blocks for all SMs where 64 outputs leave half of them idle"),
        new(LinearKind.Tiled, 64, 64, 128, 0.75, "few rows or outputs: larger blocks would leave SMs idle"),
        new(LinearKind.Tiled, 128, 64, 128, 0.90, "where blocks of 128 rows fill the last wave badly, as 4096 outputs by 640 rows on 128 SMs"),
        new(LinearKind.Tiled, 128, 128, 256, 1.00, "many blocks: every operand is used most often"),
        new(LinearKind.Integer, 128, 64, 256, 1.00, "more than 32 rows, int8 weights, 8-bit activations: twice the rate, half the bytes"),
    ];

    /// <summary>Most columns of x, times rows, that a streaming kernel holds in shared memory at once.</summary>
    private const int StagedElements = 16384;

    /// <summary>The form for y [m, n] = x [m, k] W^T.</summary>
    /// <param name="m">Rows of x.</param>
    /// <param name="n">Columns of y.</param>
    /// <param name="multiprocessors">SMs of the device.</param>
    /// <param name="int8Mma">Whether the weights are 8-bit integers in the order of the integer tensor cores.</param>
    /// <param name="gated">Whether W has 2 n rows, gates above ups.</param>
    public static LinearForm Choose(int m, int n, int multiprocessors, bool int8Mma, bool gated)
    {
        if (TakesIntegers(m, int8Mma)) return Forms[^1];
        // Staging x costs a block m rows; with several of them that is as much as its weights, and half as many blocks are better.
        if (m <= 8) return Forms[gated || n >= (m <= 2 ? 3L : 1L) * 32 * multiprocessors ? 1 : 0];
        if (m <= 32) return Forms[m <= 16 ? 2 : 3];
        LinearForm best = Forms[^2];
        double least = double.MaxValue;
        foreach (LinearForm form in Forms)
        {
            if (form.Kind != LinearKind.Tiled) continue;
            (int x, int y) = Grid(form, m, n, gated);
            double waves = Math.Ceiling((double)x * y / multiprocessors), time = waves * form.Outputs * form.Tokens / form.Share;
            // Of equals the larger, which comes later.
            if (time <= least) (best, least) = (form, time);
        }

        return best;
    }

    /// <summary>
    /// Whether RMSNorm is part of the product. Up to 2 rows every block of a streaming product makes it for itself: the rows are read twice more from the second
    /// cache by each block, at 4096 columns 32 KB a row, against about 3 us of a launch. Where x becomes integers, the norm is a part of that.
    /// </summary>
    /// <param name="m">Rows of x.</param>
    /// <param name="int8Mma">Whether the weights are 8-bit integers in the order of the integer tensor cores.</param>
    public static bool FusesNorm(int m, bool int8Mma) => m <= 2 || TakesIntegers(m, int8Mma);

    /// <summary>
    /// Whether the activation of x is part of the product: every block of a streaming product makes it for itself while it stages x, 24 values a thread for 6 rows
    /// of 1024 columns.
    /// </summary>
    /// <param name="m">Rows of x.</param>
    public static bool FusesActivation(int m) => m <= 32;

    /// <summary>Blocks: for streaming forms x counts outputs, else x counts tokens and y outputs.</summary>
    public static (int X, int Y) Grid(LinearForm form, int m, int n, bool gated)
    {
        int outputs = CeilDiv(n, gated ? form.Outputs / 2 : form.Outputs);
        return form.Kind == LinearKind.Streaming ? (outputs, 1) : (CeilDiv(m, form.Tokens), outputs);
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
        if (form.Kind == LinearKind.Streaming)
        {
            // Factors of RMSNorm, and x at a stride of 8 elements more; at the end the sums of 8 warps for 8 tokens.
            int staged = 32 * sizeof(float) + m * (Math.Min(Chunk(form, m), (k + 63) / 64 * 64) + 8) * sizeof(ushort);
            return Math.Max(staged, 8 * form.Outputs * 11 * sizeof(float));
        }

        // Stages of 64 columns: weights, their scales and the tokens' for every 32 columns, tokens.
        if (form.Kind == LinearKind.Integer) return 3 * (form.Outputs * 64 + form.Outputs / 16 * 64 + form.Tokens * 8 + form.Tokens * 64);

        int columns = kind == WeightKind.Int4 ? 64 : 32;
        bool plain = kind is WeightKind.F16 or WeightKind.BF16;
        int weights = form.Outputs * columns * (plain ? 16 : kind == WeightKind.Int8 ? 8 : 4) / 8;
        int scales = plain ? 0 : form.Outputs / 16 * 32 * (columns / 32);
        int stages = (form.Outputs >= 128 ? 3 : 4) - (kind == WeightKind.Int4 ? 1 : 0);
        return Math.Max(stages * (weights + scales + form.Tokens * columns * sizeof(ushort)), StagedSums(form));
    }

    /// <summary>Most shared memory that any shape takes: the driver is told once.</summary>
    public static int MaxSharedBytes(LinearForm form, WeightKind kind) => SharedBytes(form, kind, form.Kind == LinearKind.Streaming ? form.Tokens : 1, int.MaxValue / 2);

    /// <summary>What the warps need at the end to turn their sums into lines: 8 tokens of 32 outputs each, and 4 floats between tokens; 8 warps at most.</summary>
    private static int StagedSums(LinearForm form) => form.Threads / 32 * 8 * (32 + 4) * sizeof(float);

    private static bool TakesIntegers(int m, bool int8Mma) => m > 32 && int8Mma;

    private static int CeilDiv(int a, int b) => (a + b - 1) / b;
}
