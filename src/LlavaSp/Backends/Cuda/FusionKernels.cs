namespace LlavaSp.Backends.Cuda;

/// <summary>Sizes of a detail fusion: conv_CM [width, k*k*d] over a grid, and tokens that attend to its positions.</summary>
internal readonly record struct FusionSize(int Tiles, int Count, int Grid, int Depth, int Kernel, int Stride, int Width)
{
    /// <summary>Positions along an edge.</summary>
    public int Side => (Grid - Kernel) / Stride + 1;

    /// <summary>Positions of a tile.</summary>
    public int Positions => Side * Side;

    /// <summary>Positions of all tiles.</summary>
    public int AllPositions => Tiles * Positions;

    /// <summary>Tokens of all tiles.</summary>
    public int AllTokens => Tiles * Count;
}

/// <summary>Launches of kernels/detail_fusion_conv.cu and detail_fusion.cu.</summary>
internal sealed class FusionKernels
{
    private const int RowTilesOfBlock = 8, ThreadsOfRows = 256, NormThreads = 512, AttentionThreads = 256;
    private const int GeometryBytes = 128, CellBytes = 144, HandedBytes = 16384, ColumnStageBytes = 32 * 528, ColumnStageQuads = 4;
    private const int ChannelsOfStage = 64, NarrowColumns = 32, WideColumns = 64;

    // What the partial sums may add to the bytes of the weights; a small product may have this many all the same.
    private const double MostPartialShare = 0.05;
    private const int SplitsAlwaysAllowed = 4;
    private const int LargestSharedBytes = 48 << 10;

    private readonly CudaDevice _device;
    private readonly Kernel<ConvArguments>[] _cells32;
    private readonly Kernel<ConvArguments>[] _cells64;
    private readonly Kernel<ConvArguments>[] _columns;
    private readonly Kernel<NormaliseArguments> _normalise;
    private readonly Kernel<AttentionArguments> _attention;

    public FusionKernels(CudaDevice device, CudaModule module)
    {
        _device = device;
        _cells32 = Kinds("fusion_conv_cells32");
        _cells64 = Kinds("fusion_conv_cells64");
        _columns = Kinds("fusion_conv_columns");
        _normalise = module.Find<NormaliseArguments>("fusion_normalise");
        _attention = module.Find<AttentionArguments>("fusion_attention");

        Kernel<ConvArguments>[] Kinds(string name) => CudaWeight.EachLayout(layout => module.Find<ConvArguments>($"{name}_{layout}"), bf16: true);
    }

    /// <summary>How conv_CM is cut into blocks.</summary>
    /// <param name="Cells">Whether cells are staged, else columns.</param>
    /// <param name="Columns">Width of the kernel's pass: 32 or 64.</param>
    /// <param name="UsedColumns">Positions that a pass has.</param>
    /// <param name="Passes">Passes over all positions.</param>
    /// <param name="Splits">Parts of the columns of the weights, each with partial sums of its own.</param>
    /// <param name="SharedBytes">Shared memory of a block.</param>
    public readonly record struct Plan(bool Cells, int Columns, int UsedColumns, int Passes, int Splits, int SharedBytes)
    {
        /// <summary>Decides.</summary>
        /// <param name="size">Sizes of the fusion.</param>
        /// <param name="weightBytes">Bytes of conv_CM.</param>
        /// <param name="multiprocessors">SMs of the device.</param>
        public static Plan For(FusionSize size, long weightBytes, int multiprocessors)
        {
            bool cells = size.Depth % ChannelsOfStage == 0;
            int columns = NarrowColumns, shared = 0;
            if (cells)
            {
                // A second tile in a pass saves the weights a reading.
                bool wide = size.Tiles > NarrowColumns / size.Positions && WideColumns / size.Positions > NarrowColumns / size.Positions;
                if (wide && CellSharedBytes(size, WideColumns) <= LargestSharedBytes) columns = WideColumns;
                shared = CellSharedBytes(size, columns);
                cells = columns >= size.Positions && shared <= LargestSharedBytes;
            }

            if (!cells)
            {
                columns = NarrowColumns;
                shared = GeometryBytes + ColumnStageQuads * 8 + Math.Max(ColumnStageBytes, HandedBytes);
            }

            int used = cells ? columns / size.Positions * size.Positions : columns;
            int passes = (size.AllPositions + used - 1) / used, residues = Math.Min(size.Stride, size.Kernel);
            int quads = (size.Kernel * size.Kernel * size.Depth + 63) / 64;
            int stages = cells ? residues * residues * (size.Depth / ChannelsOfStage) : (quads + ColumnStageQuads - 1) / ColumnStageQuads;
            long partialBytes = 2L * sizeof(float) * size.AllPositions * size.Width;
            int bound = (int)Math.Min(stages, Math.Max(SplitsAlwaysAllowed, MostPartialShare * weightBytes * passes / partialBytes));
            int others = (size.Width + (16 * RowTilesOfBlock) - 1) / (16 * RowTilesOfBlock) * passes;
            int splits = Math.Clamp((multiprocessors + others - 1) / others, 1, bound);
            return new Plan(cells, columns, used, passes, splits, shared);
        }

        private static int CellSharedBytes(FusionSize size, int columns)
        {
            // As CellStages in the kernel has it.
            int residues = (size.Kernel + size.Stride - 1) / size.Stride, cells = size.Side + residues - 1;
            int pitch = cells + Modulo8(size.Side - cells), tileCells = cells * pitch;
            tileCells += Modulo8(size.Positions - tileCells);
            long stage = (long)Math.Max(1, columns / size.Positions) * tileCells * CellBytes;
            return (int)Math.Min(int.MaxValue, GeometryBytes + (residues * residues + 1) / 2 * 16 + Math.Max(stage, HandedBytes));
        }

        private static int Modulo8(int x) => ((x % 8) + 8) % 8;
    }

    /// <summary>partial [splits, positions, width] = what every part of conv_CM adds.</summary>
    public void Conv(ulong partial, CudaTensor x, CudaWeight kernel, FusionSize size, Plan plan)
    {
        Kernel<ConvArguments> conv = (plan.Cells ? plan.Columns == WideColumns ? _cells64 : _cells32 : _columns)[kernel.Layout];
        int threads = plan.Columns == WideColumns ? ThreadsOfRows : 2 * ThreadsOfRows;
        int rowBlocks = (kernel.RowTiles + RowTilesOfBlock - 1) / RowTilesOfBlock;
        conv.Launch(plan.Passes * rowBlocks, plan.Splits, 1, threads, plan.SharedBytes, new ConvArguments(
            partial, x.Address, kernel.Packed, kernel.Scales, kernel.GroupSize, (int)x.Element, x.Stride, size.Tiles, size.Grid, size.Depth, size.Kernel,
            size.Stride, size.Side, size.Width));
    }

    /// <summary>
    /// The sum of the parts, cleared of NaN, to conv (if not 0), normalised to key and value; tokens, cleared of NaN, to the left half of y, normalised to
    /// query.
    /// </summary>
    public void Normalise(
        ulong conv, CudaTensor query, CudaTensor key, CudaTensor value, CudaTensor y, ulong partial, int splits, CudaTensor tokens, FusionSize size,
        DetailFusionWeights weights)
    {
        static ulong At(Tensor tensor) => ((CudaTensor)tensor).Address;
        _normalise.Launch(size.AllPositions + size.AllTokens, 1, 1, NormThreads, (size.Width + 32) * sizeof(float), new NormaliseArguments(
            conv, query.Address, key.Address, value.Address, y.Address, partial, tokens.Address, At(weights.Query.NormWeight), At(weights.Query.NormBias),
            At(weights.Key.NormWeight), At(weights.Key.NormBias), At(weights.Value.NormWeight), At(weights.Value.NormBias), splits,
            size.AllPositions, size.Width, (int)query.Element, query.Stride, (int)tokens.Element, tokens.Stride, (int)y.Element, y.Stride, weights.NormEpsilon));
    }

    /// <summary>Attention of the tokens to the positions of their tile, to the right half of y; logits and probs [tokens, positions] may be 0.</summary>
    public void Attention(CudaTensor y, CudaTensor query, CudaTensor key, CudaTensor value, ulong logits, ulong probs, FusionSize size)
    {
        if (size.AllTokens == 0) return;
        _attention.Launch(size.AllTokens, 1, 1, AttentionThreads, (size.Width + size.Positions) * sizeof(float), new AttentionArguments(
            y.Address, query.Address, key.Address, value.Address, logits, probs, (int)query.Element, query.Stride, (int)y.Element, y.Stride, size.Count,
            size.Positions, size.Width));
    }

    private readonly record struct ConvArguments(
        ulong Partial, ulong Features, ulong Packed, ulong Scales, int Group, int Element, int Ld, int Tiles, int Grid, int D, int Kernel, int Stride, int Side,
        int Width);

    private readonly record struct NormaliseArguments(
        ulong Conv, ulong Query, ulong Key, ulong Value, ulong Y, ulong Partial, ulong Tokens, ulong QueryWeight, ulong QueryBias, ulong KeyWeight,
        ulong KeyBias, ulong ValueWeight, ulong ValueBias, int Splits, int Rows, int Width, int NormedElement, int NormedLd, int TokenElement, int TokenLd,
        int YElement, int YLd, float Epsilon);

    private readonly record struct AttentionArguments(
        ulong Y, ulong Query, ulong Key, ulong Value, ulong Logits, ulong Probs, int Element, int Ld, int YElement, int YLd, int Count,
        int Positions, int Width);
}
