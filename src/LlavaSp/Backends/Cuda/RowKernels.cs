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
    private readonly Kernel<CopyArguments>[] _copy;
    private readonly Kernel<NormArguments>[] _layerNorm;
    private readonly Kernel<NormArguments>[] _rmsNorm;
    private readonly Kernel<ActivateArguments>[] _activate;
    private readonly Kernel<GatedArguments>[] _gated;
    private readonly Kernel<EmbedArguments>[] _embed;
    private readonly Kernel<ArgmaxArguments> _argmax;
    private readonly Kernel<ArgmaxResultArguments> _argmaxResult;

    public RowKernels(CudaDevice device, CudaModule module)
    {
        _device = device;
        _copy = [.. Pairs("copy_rows").Select(name => module.Find<CopyArguments>(name))];
        _layerNorm = [.. Pairs("layer_norm").Select(name => module.Find<NormArguments>(name))];
        _rmsNorm = [.. Pairs("rms_norm").Select(name => module.Find<NormArguments>(name))];
        _activate = [.. Pairs("activate").Select(name => module.Find<ActivateArguments>(name))];
        _gated = [.. Pairs("gated_activation").Select(name => module.Find<GatedArguments>(name))];
        _embed = [module.Find<EmbedArguments>("embed_f32"), module.Find<EmbedArguments>("embed_f16")];
        _argmax = module.Find<ArgmaxArguments>("argmax_blocks");
        _argmaxResult = module.Find<ArgmaxResultArguments>("argmax_result");
    }

    /// <summary>Bytes of device memory that <see cref="Argmax"/> needs.</summary>
    public static int ArgmaxBytes => MostArgmaxBlocks * 8 + sizeof(int);

    /// <summary>Copies rows; ids [rows] on the device, or 0 for all in order.</summary>
    public void Copy(CudaTensor y, CudaTensor x, ulong ids)
    {
        if (y.Rows == 0) return;
        _copy[Pair(y, x)].Launch(ColumnBlocks(y.Columns), RowBlocks(y.Rows), 1, Threads, 0, new CopyArguments(
            y.Address, x.Address, ids, y.Rows, y.Columns, y.Stride, x.Stride));
    }

    /// <summary>Rows of x as halves, at a stride of as many elements as x has.</summary>
    public void Narrow(ulong destination, CudaTensor x) =>
        _copy[(int)Element.F16 * 2 + (int)x.Element].Launch(ColumnBlocks(x.Columns), RowBlocks(x.Rows), 1, Threads, 0, new CopyArguments(
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
        (bias is null ? _rmsNorm : _layerNorm)[Pair(y, x)].Launch(y.Rows, 1, 1, threads, NormScratchBytes + (cached ? rowBytes : 0), new NormArguments(
            y.Address, x.Address, weight.Address, bias?.Address ?? 0, y.Columns, y.Stride, x.Stride, epsilon, cached ? 1 : 0));
    }

    /// <summary>destination = activation(source).</summary>
    public void Activate(CudaTensor y, CudaTensor x, Activation activation)
    {
        if (y.Rows == 0) return;
        _activate[Pair(y, x)].Launch(ColumnBlocks(y.Columns), RowBlocks(y.Rows), 1, Threads, 0, new ActivateArguments(
            y.Address, x.Address, y.Rows, y.Columns, y.Stride, x.Stride, (int)activation));
    }

    /// <summary>destination = silu(gate) * up.</summary>
    public void Gate(CudaTensor y, CudaTensor gateUp)
    {
        if (y.Rows == 0) return;
        _gated[Pair(y, gateUp)].Launch(ColumnBlocks(y.Columns), RowBlocks(y.Rows), 1, Threads, 0, new GatedArguments(
            y.Address, gateUp.Address, y.Rows, y.Columns, y.Stride, gateUp.Stride));
    }

    /// <summary>Rows of the table; ids on the device.</summary>
    public void Embed(CudaTensor y, CudaWeight table, ulong ids)
    {
        if (y.Rows == 0) return;
        _embed[(int)y.Element].Launch((y.Columns + EmbedColumns - 1) / EmbedColumns, y.Rows, 1, Threads, 0, new EmbedArguments(
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

    private static int Pair(CudaTensor y, CudaTensor x) => (int)y.Element * 2 + (int)x.Element;

    /// <summary>In the order of <see cref="Pair"/>: destination, source.</summary>
    private static string[] Pairs(string name) => [$"{name}_f32_f32", $"{name}_f32_f16", $"{name}_f16_f32", $"{name}_f16_f16"];

    private readonly record struct CopyArguments(ulong Destination, ulong Source, ulong Ids, int Rows, int Columns, int ToLd, int FromLd);

    private readonly record struct NormArguments(
        ulong Destination, ulong Source, ulong Weight, ulong Bias, int Columns, int ToLd, int FromLd, float Epsilon, int Cached);

    private readonly record struct ActivateArguments(ulong Destination, ulong Source, int Rows, int Columns, int ToLd, int FromLd, int Activation);

    private readonly record struct GatedArguments(ulong Destination, ulong Source, int Rows, int Columns, int ToLd, int FromLd);

    private readonly record struct EmbedArguments(ulong Destination, ulong Packed, ulong Ids, int Columns, int ColumnTiles, int ToLd);

    private readonly record struct ArgmaxArguments(ulong Values, ulong Partial, int Count);

    private readonly record struct ArgmaxResultArguments(ulong Partial, ulong Result, int Blocks);
}
