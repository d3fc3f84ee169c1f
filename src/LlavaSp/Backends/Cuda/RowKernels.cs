using System.Diagnostics.CodeAnalysis;

namespace LlavaSp.Backends.Cuda;

/// <summary>
/// Kernels that go row by row: kernels/copy.cu, norms.cu, activation.cu, embedding.cu, argmax.cu. Grids, blocks and shared memory are decided here.
/// </summary>
internal sealed class RowKernels
{
    private const int Threads = 128, ElementsPerThread = 4, MostGridY = 65535;
    private const int NormScratchBytes = 32 * sizeof(float), NormThreads = 256, MostNormThreads = 1024, MostSharedBytes = 48 << 10;
    private const int EmbedColumns = 512;
    private const int ArgmaxThreads = 256, MostArgmaxBlocks = 64;

    private readonly CudaDevice _device;
    private readonly PairTable<CopyArguments> _copy;
    private readonly PairTable<NormArguments> _layerNorm;
    private readonly PairTable<NormArguments> _rmsNorm;
    private readonly PairTable<ActivateArguments> _activate;
    private readonly PairTable<GatedArguments> _gated;
    private readonly PairTable<EmbedArguments> _embed;
    private readonly Kernel<ArgmaxArguments> _argmax;
    private readonly Kernel<ArgmaxResultArguments> _argmaxResult;

    public RowKernels(CudaDevice device, CudaModule module)
    {
        _device = device;
        _copy = new PairTable<CopyArguments>(module, "copy_rows");
        _layerNorm = new PairTable<NormArguments>(module, "layer_norm");
        _rmsNorm = new PairTable<NormArguments>(module, "rms_norm");
        _activate = new PairTable<ActivateArguments>(module, "activate");
        _gated = new PairTable<GatedArguments>(module, "gated_activation");
        _embed = new PairTable<EmbedArguments>(module, "embed", fromFloat: false);
        _argmax = module.Find<ArgmaxArguments>("argmax_blocks");
        _argmaxResult = module.Find<ArgmaxResultArguments>("argmax_result");
    }

    /// <summary>Bytes of device memory that <see cref="Argmax"/> needs.</summary>
    public static int ArgmaxBytes => MostArgmaxBlocks * 8 + sizeof(int);

    /// <summary>Copies rows; ids [rows] on the device, or 0 for all in order.</summary>
    public void Copy(CudaTensor y, CudaTensor x, ulong ids)
    {
        if (y.Rows == 0) return;
        _copy[y.Element, x.Element].Launch(ColumnBlocks(y.Columns), RowBlocks(y.Rows), 1, Threads, 0, new CopyArguments(
            y.Address, x.Address, ids, y.Rows, y.Columns, y.Stride, x.Stride));
    }

    /// <summary>Rows of x as f16 or bf16, at a stride of as many elements as x has.</summary>
    public void Narrow(ulong destination, CudaTensor x, Element element) =>
        _copy[element, x.Element].Launch(ColumnBlocks(x.Columns), RowBlocks(x.Rows), 1, Threads, 0, new CopyArguments(
            destination, x.Address, 0, x.Rows, x.Columns, x.Stride, x.Stride));

    /// <summary>LayerNorm where there is a bias, else RMSNorm.</summary>
    public void Norm(CudaTensor y, CudaTensor x, CudaTensor weight, CudaTensor? bias, float epsilon)
    {
        if (y.Rows == 0) return;
        int rowBytes = (y.Columns + 3) / 4 * 16;
        bool cached = rowBytes + NormScratchBytes <= MostSharedBytes;
        // Few rows: the time is that of one of them.
        int most = y.Rows < _device.Multiprocessors ? MostNormThreads : NormThreads;
        int threads = Math.Min(most, ((y.Columns + 3) / 4 + 31) / 32 * 32);
        PairTable<NormArguments> table = bias is null ? _rmsNorm : _layerNorm;
        table[y.Element, x.Element].Launch(y.Rows, 1, 1, threads, NormScratchBytes + (cached ? rowBytes : 0), new NormArguments(
            y.Address, x.Address, weight.Address, bias?.Address ?? 0, y.Columns, y.Stride, x.Stride, epsilon, cached ? 1 : 0));
    }

    /// <summary>destination = activation(source).</summary>
    public void Activate(CudaTensor y, CudaTensor x, Activation activation)
    {
        if (y.Rows == 0) return;
        _activate[y.Element, x.Element].Launch(ColumnBlocks(y.Columns), RowBlocks(y.Rows), 1, Threads, 0, new ActivateArguments(
            y.Address, x.Address, y.Rows, y.Columns, y.Stride, x.Stride, (int)activation));
    }

    /// <summary>destination = silu(gate) * up.</summary>
    public void Gate(CudaTensor y, CudaTensor gateUp)
    {
        if (y.Rows == 0) return;
        _gated[y.Element, gateUp.Element].Launch(ColumnBlocks(y.Columns), RowBlocks(y.Rows), 1, Threads, 0, new GatedArguments(
            y.Address, gateUp.Address, y.Rows, y.Columns, y.Stride, gateUp.Stride));
    }

    /// <summary>Rows of the table; ids on the device.</summary>
    public void Embed(CudaTensor y, CudaWeight table, ulong ids)
    {
        if (y.Rows == 0) return;
        _embed[y.Element, table.Operand].Launch((y.Columns + EmbedColumns - 1) / EmbedColumns, y.Rows, 1, Threads, 0, new EmbedArguments(
            y.Address, table.Packed, ids, y.Columns, table.ColumnTiles, y.Stride));
    }

    /// <summary>Leaves the index of the largest element of a row, or -1 if it has a NaN.</summary>
    /// <param name="x">[1, columns] float32.</param>
    /// <param name="scratch">Device memory of <see cref="ArgmaxBytes"/>.</param>
    /// <returns>Where the index will be.</returns>
    public ulong Argmax(CudaTensor x, ulong scratch)
    {
        const int warpBytes = ArgmaxThreads / 32 * 8, elements = ArgmaxThreads * ElementsPerThread;
        int blocks = Math.Clamp((x.Columns + elements - 1) / elements, 1, MostArgmaxBlocks);
        ulong result = scratch + MostArgmaxBlocks * 8;
        _argmax.Launch(blocks, 1, 1, ArgmaxThreads, warpBytes, new ArgmaxArguments(x.Address, scratch, x.Columns));
        _argmaxResult.Launch(1, 1, 1, ArgmaxThreads, warpBytes, new ArgmaxResultArguments(scratch, result, blocks));
        return result;
    }

    private static int ColumnBlocks(int columns) => (columns + Threads * ElementsPerThread - 1) / (Threads * ElementsPerThread);

    private static int RowBlocks(int rows) => Math.Min(rows, MostGridY);

    /// <summary>A kernel for every pair of element types, named after destination and source; none between f16 and bf16.</summary>
    private sealed class PairTable<[DynamicallyAccessedMembers(Kernel.ArgumentFields)] T>
        where T : unmanaged
    {
        private static readonly string[] ElementNames = ["f32", "f16", "bf16"];

        private readonly Kernel<T>?[] _kernels = new Kernel<T>?[ElementNames.Length * ElementNames.Length];

        /// <summary>Finds them.</summary>
        /// <param name="module">Where they are.</param>
        /// <param name="name">What stands in front of the types.</param>
        /// <param name="fromFloat">Whether the source may be float32.</param>
        public PairTable(CudaModule module, string name, bool fromFloat = true)
        {
            for (int i = 0; i < _kernels.Length; i++)
            {
                (int to, int from) = (i / ElementNames.Length, i % ElementNames.Length);
                if ((to == 0 || from == 0 || to == from) && (from != 0 || fromFloat))
                    _kernels[i] = module.Find<T>($"{name}_{ElementNames[to]}_{ElementNames[from]}");
            }
        }

        public Kernel<T> this[Element to, Element from] =>
            _kernels[(int)to * ElementNames.Length + (int)from] ?? throw new ArgumentException($"no kernel makes {to} of {from}");
    }

    private readonly record struct CopyArguments(ulong Destination, ulong Source, ulong Ids, int Rows, int Columns, int ToLd, int FromLd);

    private readonly record struct NormArguments(
        ulong Destination, ulong Source, ulong Weight, ulong Bias, int Columns, int ToLd, int FromLd, float Epsilon, int Cached);

    private readonly record struct ActivateArguments(ulong Destination, ulong Source, int Rows, int Columns, int ToLd, int FromLd, int Activation);

    private readonly record struct GatedArguments(ulong Destination, ulong Source, int Rows, int Columns, int ToLd, int FromLd);

    private readonly record struct EmbedArguments(ulong Destination, ulong Packed, ulong Ids, int Columns, int ColumnTiles, int ToLd);

    private readonly record struct ArgmaxArguments(ulong Values, ulong Partial, int Count);

    private readonly record struct ArgmaxResultArguments(ulong Partial, ulong Result, int Blocks);
}
