namespace LlavaSp.Backends.Cuda;

/// <summary>Kernels of kernels/sampling.cu: grids, blocks and shared memory are decided here.</summary>
internal sealed class SamplingKernels
{
    /// <summary>Largest vocabulary: the masses of so many tokens fit into 64 bits.</summary>
    public const int MostTokens = 1 << 20;

    /// <summary>Bytes of the histogram: masses and numbers of tokens of every bin, and the mass of what min-p keeps.</summary>
    public const int HistogramBytes = (2 * Bins + 1) * sizeof(ulong);

    /// <summary>Bytes that a block of <see cref="Scores"/> leaves.</summary>
    public const int PartialBytes = 16;

    /// <summary>Bytes of the result: the id, or -1 for NaN, and whether the point mattered.</summary>
    public const int ResultBytes = 2 * sizeof(int);

    private const int Threads = 256, TokensPerBlock = 4 * Threads, Bins = 1024, ListedTokens = 2048;
    private const int WarpBytes = 16, ReduceBytes = Threads / 32 * WarpBytes;
    private const int ChooseBytes = Bins / 32 * WarpBytes + (Bins + 2 * ListedTokens + 2) * sizeof(ulong) + (Bins + 2) * sizeof(int);

    private readonly Kernel<ScoresArguments> _scores;
    private readonly Kernel<MassesArguments> _masses;
    private readonly Kernel<ChooseArguments> _choose;

    public SamplingKernels(CudaModule module)
    {
        _scores = module.Find<ScoresArguments>("sample_scores");
        _masses = module.Find<MassesArguments>("sample_masses");
        _choose = module.Find<ChooseArguments>("sample_choose");
    }

    /// <summary>Blocks of a vocabulary.</summary>
    public static int BlocksOf(int vocabulary) => (vocabulary + TokensPerBlock - 1) / TokensPerBlock;

    /// <summary>Scores after penalties, the extremes of every block, and an empty histogram.</summary>
    public void Scores(in ScoresArguments arguments) => _scores.Launch(BlocksOf(arguments.Vocabulary), 1, 1, Threads, ReduceBytes, arguments);

    /// <summary>Fills the histogram.</summary>
    public void Masses(in MassesArguments arguments) =>
        _masses.Launch(BlocksOf(arguments.Vocabulary), 1, 1, Threads, ReduceBytes + 3 * Bins * sizeof(int), arguments);

    /// <summary>Leaves the token in the result.</summary>
    public void Choose(in ChooseArguments arguments) => _choose.Launch(1, 1, 1, Bins, ChooseBytes, arguments);
}

/// <summary>Parameters of sample_scores.</summary>
internal readonly record struct ScoresArguments(
    ulong Logits, ulong Scores, ulong Counts, ulong Partial, ulong Histogram, int Vocabulary, float Repetition, float Frequency, float Presence);

/// <summary>Parameters of sample_masses.</summary>
internal readonly record struct MassesArguments(
    ulong Scores, ulong Partial, ulong Histogram, int Vocabulary, int Partials, float Temperature, float MinP);

/// <summary>Parameters of sample_choose.</summary>
internal readonly record struct ChooseArguments(
    ulong Scores, ulong Partial, ulong Histogram, ulong Counts, ulong Result, int Vocabulary, int Partials, float Temperature, int TopK, float TopP, float MinP,
    uint PointLow, uint PointHigh);
