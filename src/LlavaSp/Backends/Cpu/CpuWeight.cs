using System.Runtime.ExceptionServices;
using LlavaSp.Quantization;

namespace LlavaSp.Backends.Cpu;

/// <summary>A weight matrix packed in panels of rows by the native library.</summary>
internal sealed unsafe class CpuWeight : Weight
{
    // Float32 copies of blocks of rows that may exist at once while a matrix is packed, all threads together.
    private const long PackingBytes = 256L << 20;
    private const long ElementsPerBlock = 1L << 20;

    private readonly WeightHandle _handle;

    private CpuWeight(WeightHandle handle, long rows, long columns, WeightFormat format)
    {
        _handle = handle;
        Rows = rows;
        Columns = columns;
        Format = format;
        ByteLength = NativeMethods.lsp_weight_bytes(handle.Value);
    }

    public override long Rows { get; }

    public override long Columns { get; }

    public override WeightFormat Format { get; }

    public override long ByteLength { get; }

    /// <summary>The native weight; valid while this object is reachable and not disposed.</summary>
    public nint Value => _handle.Value;

    /// <summary>Packs a matrix block by block on up to <paramref name="threads"/> threads.</summary>
    /// <exception cref="DeviceException">There is no memory for it.</exception>
    /// <exception cref="CheckpointException">It cannot be read or quantised.</exception>
    public static CpuWeight Create(WeightSource source, WeightFormat format, int threads)
    {
        long rows = source.Rows, columns = source.Columns;
        if (rows < 1 || columns < 1 || rows >= int.MaxValue || columns >= int.MaxValue / NativeMethods.PanelRows)
            throw new CheckpointException($"{source.Name}: a matrix of [{rows}, {columns}] is not supported");
        NativeMethods.Status status = NativeMethods.lsp_weight_create(rows, columns, (NativeMethods.Format)format.Kind, format.GroupSize, out nint created);
        if (status == NativeMethods.Status.OutOfMemory)
            throw new DeviceException($"out of memory: {source.Name} [{rows}, {columns}] in {format} needs {rows * format.RowBytes(columns) >> 20} MiB; use smaller weights");
        CpuBackend.Check(status);
        var handle = new WeightHandle(created);
        try
        {
            Pack(source, format, handle, threads);
            source.Evict();
            return new CpuWeight(handle, rows, columns, format);
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing) _handle.Dispose();
        base.Dispose(disposing);
    }

    private static void Pack(WeightSource source, WeightFormat format, WeightHandle handle, int threads)
    {
        // Whole panels, so that no two threads write into the same one.
        int block = (int)Math.Clamp(ElementsPerBlock / source.Columns / NativeMethods.PanelRows, 1, 64) * NativeMethods.PanelRows;
        block = (int)Math.Min(block, source.Rows);
        int blocks = (int)((source.Rows + block - 1) / block);
        long bytes = 4L * block * source.Columns;
        var options = new ParallelOptions { MaxDegreeOfParallelism = (int)Math.Clamp(PackingBytes / bytes, 1, Math.Min(threads, blocks)) };
        try
        {
            Parallel.For(0, blocks, options, () => new Buffers(block, source.Columns, format), (i, _, buffers) =>
            {
                long first = (long)i * block;
                buffers.Pack(source, first, (int)Math.Min(block, source.Rows - first), format, handle.Value);
                return buffers;
            }, static buffers => buffers.Dispose());
        }
        catch (AggregateException e)
        {
            ExceptionDispatchInfo.Throw(e.Flatten().InnerExceptions[0]);
        }

        GC.KeepAlive(handle);
    }

    /// <summary>What one thread needs to pack a block of rows: native memory, so that loading leaves no garbage.</summary>
    private sealed class Buffers : IDisposable
    {
        private readonly int _columns;
        private readonly int _groups;
        private readonly int _rowBytes;
        private readonly NativeBlock _rows;
        private readonly NativeBlock? _values;
        private readonly NativeBlock? _scales;

        public Buffers(int rows, long columns, WeightFormat format)
        {
            _columns = (int)columns;
            _groups = (int)format.Groups(columns);
            _rowBytes = (int)format.StoredRowBytes(columns);
            _rows = new NativeBlock(4L * rows * columns);
            if (!format.IsInteger) return;
            _values = new NativeBlock(rows * columns);
            _scales = new NativeBlock(4L * rows * _groups);
        }

        public void Pack(WeightSource source, long first, int count, WeightFormat format, nint weight)
        {
            if (source.StoredFormat == format)
            {
                // As the file has them, without a detour through numbers.
                byte* stored = (byte*)_rows.Pointer;
                Half* halves = _scales is null ? null : (Half*)_scales.Pointer;
                source.ReadStoredRows(first, count, new Span<byte>(stored, count * _rowBytes), new Span<Half>(halves, count * _groups));
                CpuBackend.Check(NativeMethods.lsp_weight_write_stored(weight, first, count, stored, (ushort*)halves));
                return;
            }

            float* rows = (float*)_rows.Pointer;
            var floats = new Span<float>(rows, count * _columns);
            if (_values is null || _scales is null)
            {
                source.ReadRows(first, count, floats);
                CpuBackend.Check(NativeMethods.lsp_weight_write_f32(weight, first, count, rows));
                return;
            }

            sbyte* values = (sbyte*)_values.Pointer;
            float* scales = (float*)_scales.Pointer;
            IntegerRows.Read(
                source, first, count, format, floats, new Span<sbyte>(values, count * _columns), new Span<float>(scales, count * _groups));
            CpuBackend.Check(NativeMethods.lsp_weight_write_integers(weight, first, count, values, scales));
        }

        public void Dispose()
        {
            _rows.Dispose();
            _values?.Dispose();
            _scales?.Dispose();
        }
    }
}
