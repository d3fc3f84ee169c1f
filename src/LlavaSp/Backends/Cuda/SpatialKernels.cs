namespace LlavaSp.Backends.Cuda;

/// <summary>Launches of kernels/spatial_tokens.cu: all convolutions of a picture as one stream of weights, and the sum of its pieces.</summary>
internal sealed class SpatialKernels
{
    private const int Threads = 512, BlockRowTiles = 32, TilesOfPass = 8, BlocksPerMultiprocessor = 2;

    // Two stages of 8 rows of 512 halves (and 16 bytes against bank conflicts), and what a block knows of its piece.
    private const int SharedBytes = (2 * 8 * 1040) + 128;

    // A block with less to do would spend its time on beginning and end.
    private const int LeastQuads = 4;
    private const int WordsOfConvolution = 5;

    private readonly CudaDevice _device;
    private readonly Kernel<TokensArguments>[] _tokens;
    private readonly Kernel<SumArguments> _sum;

    public SpatialKernels(CudaDevice device, CudaModule module)
    {
        _device = device;
        _tokens = CudaWeight.EachLayout(layout => module.Find<TokensArguments>($"spatial_tokens_{layout}"), bf16: true);
        _sum = module.Find<SumArguments>("spatial_tokens_sum");
    }

    /// <summary>destination [tiles * kernels, width] from features [tiles * grid * grid, d].</summary>
    /// <param name="y">Destination.</param>
    /// <param name="x">Patch features.</param>
    /// <param name="tiles">Tiles of the picture.</param>
    /// <param name="grid">Patches along an edge of a tile.</param>
    /// <param name="mode">Where the convolutions look.</param>
    /// <param name="kernels">Convolutions in order, all in one layout.</param>
    /// <param name="sizes">k of each.</param>
    /// <param name="scratch">Gives device memory of so many bytes, this operation's own.</param>
    public void Tokens(
        CudaTensor y, CudaTensor x, int tiles, int grid, SpatialMode mode, ReadOnlySpan<CudaWeight> kernels, ReadOnlySpan<int> sizes, Func<long, ulong> scratch)
    {
        int count = kernels.Length, width = y.Columns, quads = 0;
        Span<ulong> table = stackalloc ulong[count * WordsOfConvolution];
        for (int i = 0; i < count; i++)
        {
            int quadsOfRow = kernels[i].ColumnTiles / 4;
            Span<ulong> words = table.Slice(i * WordsOfConvolution, WordsOfConvolution);
            words[0] = kernels[i].Packed;
            words[1] = kernels[i].Scales;
            words[2] = Pair(sizes[i], quads);
            words[3] = Pair(quadsOfRow, kernels[i].GroupSize);
            words[4] = Pair((int)kernels[i].Columns, 0);
            quads = checked(quads + quadsOfRow);
        }

        int rowBlocks = (kernels[0].RowTiles + BlockRowTiles - 1) / BlockRowTiles;
        int blocks = Math.Clamp(_device.Multiprocessors * BlocksPerMultiprocessor / rowBlocks, 1, (quads + LeastQuads - 1) / LeastQuads);
        long tableBytes = (table.Length * sizeof(ulong) + 255) / 256 * 256;
        ulong memory = scratch(tableBytes + (long)(blocks + count - 1) * tiles * width * sizeof(float)), partial = memory + (ulong)tableBytes;
        _device.Upload<ulong>(memory, table);
        _tokens[kernels[0].Layout].Launch((tiles + TilesOfPass - 1) / TilesOfPass, blocks, rowBlocks, Threads, SharedBytes, new TokensArguments(
            partial, x.Address, memory, (int)x.Element, x.Stride, tiles, grid, x.Columns, mode == SpatialMode.Cropping ? 1 : 0, count, quads, width));
        _sum.Launch((width + 31) / 32, count, tiles, Threads, Threads * sizeof(float), new SumArguments(
            y.Address, partial, memory, (int)y.Element, y.Stride, tiles, count, quads, blocks, width));
    }

    private static ulong Pair(int low, int high) => (uint)low | (ulong)(uint)high << 32;

    private readonly record struct TokensArguments(
        ulong Partial, ulong Features, ulong Table, int Element, int Ld, int Tiles, int Grid, int D, int Cropping, int Convolutions, int Quads, int Width);

    private readonly record struct SumArguments(
        ulong Y, ulong Partial, ulong Table, int Element, int Ld, int Tiles, int Convolutions, int Quads, int Blocks, int Width);
}
