using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using LlavaSp.Backends.Cuda.Driver;
using LlavaSp.Quantization;

namespace LlavaSp.Backends.Cuda;

/// <summary>
/// Brings weights to the device in pieces of whole tiles of rows: while the processors read and quantise one piece, the one before is copied and the one before
/// that is packed (kernels/pack_weights.cu). Pieces are row-major with the zeros of the tiles' edges; scales travel behind them in their final order.
/// </summary>
internal sealed unsafe class WeightPacker : IDisposable
{
    private const int TileRows = 16, ColumnUnit = 64;
    private const long PieceBytes = 8 << 20, ElementsPerTask = 1 << 18;

    private readonly CudaDevice _device;
    private readonly int _threads;
    private readonly StreamHandle _copies;
    private readonly Piece[] _pieces;
    private readonly ConcurrentBag<RowBuffer> _rows = [];
    private readonly Kernel<Arguments> _words;
    private readonly Kernel<Arguments> _int8;
    private readonly Kernel<Arguments> _int8Mma;
    private readonly Kernel<Arguments> _int4;

    public WeightPacker(CudaDevice device, CudaModule module, int threads)
    {
        _device = device;
        _threads = threads > 0 ? threads : Environment.ProcessorCount;
        _words = module.Find<Arguments>("pack_words");
        _int8 = module.Find<Arguments>("pack_int8");
        _int8Mma = module.Find<Arguments>("pack_int8_mma");
        _int4 = module.Find<Arguments>("pack_int4");
        _copies = new StreamHandle(device.Context);
        _pieces = [new Piece(device), new Piece(device)];
    }

    /// <summary>Packs a matrix. The work is queued when it returns.</summary>
    /// <exception cref="DeviceException">The device does not hold the format, or has no memory for it.</exception>
    /// <exception cref="CheckpointException">The matrix cannot be read, quantised, or held in half precision.</exception>
    public CudaWeight Pack(WeightSource source, WeightFormat format, bool int8Mma)
    {
        if (!format.IsInteger && format != WeightFormat.F16 && format != WeightFormat.BF16)
            throw new DeviceException($"CUDA devices hold weights as f16, bf16, int8 or int4, not {format}: use --weights f16, or --device cpu");
        if (format == WeightFormat.BF16) _device.RequireBF16();
        var shape = new Shape(source, format);
        string what = $"{source.Name} [{shape.Rows}, {shape.Columns}] in {format}";
        DeviceBlock packed = _device.Allocate(CudaWeight.PackedBytes(shape.Rows, shape.Columns, format.Kind), what);
        DeviceBlock? scales = null;
        try
        {
            if (format.IsInteger) scales = _device.Allocate(CudaWeight.ScaleBytes(shape.Rows, shape.Columns, format), what);
            Kernel<Arguments> kernel = format.Kind switch
            {
                WeightKind.F16 or WeightKind.BF16 => _words,
                WeightKind.Int8 => int8Mma ? _int8Mma : _int8,
                _ => _int4,
            };
            int rows = (int)Math.Clamp(PieceBytes / shape.RowBytes / TileRows * TileRows, TileRows, shape.RowTiles * TileRows);
            for (int first = 0, i = 0; first < shape.Rows; first += rows, i++)
                Send(_pieces[i % 2], source, shape, first, Math.Min(rows, shape.RowTiles * TileRows - first), kernel, packed, scales);
            source.Evict();
            return new CudaWeight(shape.Rows, shape.Columns, format, int8Mma, packed, scales);
        }
        catch
        {
            scales?.Dispose();
            packed.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (RowBuffer buffer in _rows) buffer.Dispose();
        foreach (Piece piece in _pieces) piece.Dispose();
        _copies.Dispose();
    }

    private void Send(
        Piece piece, WeightSource source, Shape shape, int first, int rows, Kernel<Arguments> kernel, DeviceBlock packed, DeviceBlock? scales)
    {
        long valueBytes = rows * shape.RowBytes, scaleBytes = rows / TileRows * shape.ScaleBytesPerTile;
        piece.Reserve(valueBytes + scaleBytes);
        Fill(piece.Host, source, shape, first, rows);

        CudaDriver driver = _device.Driver;
        _device.Context.MakeCurrent();
        _copies.Wait(piece.Packed);
        driver.ThrowOnError(
            driver.MemcpyHtoDAsync(piece.Device, piece.Host, (nint)(valueBytes + scaleBytes), _copies.Value), "cuMemcpyHtoDAsync", "copying weights");
        piece.Copied.Record(_copies);

        _device.Stream.Wait(piece.Copied);
        int columnGroups = shape.PaddedColumns / ColumnUnit, tile = first / TileRows;
        (int threads, int sharedBytes, int tileBytes) = shape.Format.Kind switch
        {
            WeightKind.F16 or WeightKind.BF16 => (128, TileRows * 144, 2048),
            WeightKind.Int8 => (64, TileRows * 80, 1024),
            _ => (32, TileRows * 80, 512),
        };
        ulong destination = packed.Address + (ulong)((long)tile * columnGroups * tileBytes);
        kernel.Launch(columnGroups, rows / TileRows, 1, threads, sharedBytes, new Arguments(destination, piece.Device, shape.PaddedColumns));
        if (scales is not null)
        {
            ulong to = scales.Address + (ulong)(tile * shape.ScaleBytesPerTile);
            _device.Copy(to, piece.Device + (ulong)valueBytes, scaleBytes);
        }

        piece.Packed.Record(_device.Stream);
    }

    /// <summary>Writes rows first … first + rows - 1, zero beyond the matrix, and behind them their scales.</summary>
    private void Fill(byte* host, WeightSource source, Shape shape, int first, int rows)
    {
        int last = Math.Min(first + rows, shape.Rows), step = (int)Math.Clamp(ElementsPerTask / shape.Columns, 1, 64);
        int tasks = (last - first + step - 1) / step;
        byte* scales = host + rows * shape.RowBytes;
        for (long row = last - first; row < rows; row++) Clear(host + row * shape.RowBytes, shape.RowBytes);
        Clear(scales, rows / TileRows * shape.ScaleBytesPerTile);
        try
        {
            Parallel.For(0, tasks, new ParallelOptions { MaxDegreeOfParallelism = _threads }, task =>
            {
                int from = first + task * step;
                if (!_rows.TryTake(out RowBuffer? buffer)) buffer = new RowBuffer();
                try
                {
                    buffer.Read(source, shape, from, Math.Min(step, last - from), host + (from - first) * shape.RowBytes, (ushort*)scales, from - first);
                }
                finally
                {
                    _rows.Add(buffer);
                }
            });
        }
        catch (AggregateException e)
        {
            ExceptionDispatchInfo.Throw(e.Flatten().InnerExceptions[0]);
        }
    }

    private static void Clear(byte* from, long bytes) => NativeMemory.Clear(from, (nuint)bytes);

    private readonly record struct Arguments(ulong Packed, ulong Source, int SourceLd);

    /// <summary>Sizes of a matrix on its way.</summary>
    private sealed class Shape
    {
        public Shape(WeightSource source, WeightFormat format)
        {
            if (source.Rows < 1 || source.Columns < 1 || source.Rows > int.MaxValue - TileRows || source.Columns > int.MaxValue / 4 - ColumnUnit)
                throw new CheckpointException($"{source.Name}: a matrix of [{source.Rows}, {source.Columns}] is not supported");
            Format = format;
            Rows = (int)source.Rows;
            Columns = (int)source.Columns;
            (RowTiles, int columnTiles) = CudaWeight.Tiles(Rows, Columns);
            PaddedColumns = columnTiles * TileRows;
            Groups = CudaWeight.GroupsOf(Columns, format);
        }

        public WeightFormat Format { get; }

        public int Rows { get; }

        public int Columns { get; }

        public int RowTiles { get; }

        public int PaddedColumns { get; }

        /// <summary>Groups of a padded row.</summary>
        public int Groups { get; }

        public long RowBytes => Format.IsInteger ? PaddedColumns : 2L * PaddedColumns;

        public long ScaleBytesPerTile => 2L * TileRows * Groups;
    }

    /// <summary>One of two staging buffers, on the host and on the device, and the marks that say who is done with it.</summary>
    private sealed class Piece(CudaDevice device) : IDisposable
    {
        private PinnedHandle? _host;
        private DeviceBlock? _block;

        /// <summary>The copy is done: the host's side is free.</summary>
        public EventHandle Copied { get; } = new(device.Context);

        /// <summary>The packing is done: the device's side is free.</summary>
        public EventHandle Packed { get; } = new(device.Context);

        public byte* Host => _host!.Pointer;

        public ulong Device => _block!.Address;

        /// <summary>Waits until the host's side is free, and makes both large enough.</summary>
        public void Reserve(long bytes)
        {
            device.Context.MakeCurrent();
            Copied.Synchronize("waiting for a staging buffer");
            if (_host is not null && _host.Bytes >= bytes) return;
            _host?.Dispose();
            _block?.Dispose();
            _host = null;
            _block = null;
            _block = device.Allocate(bytes, "a staging buffer for weights");
            _host = new PinnedHandle(device.Context, bytes);
            // The block may still be in use by what is queued in the stream of computation.
            Packed.Record(device.Stream);
        }

        public void Dispose()
        {
            Copied.Dispose();
            Packed.Dispose();
            _block?.Dispose();
            _host?.Dispose();
        }
    }

    /// <summary>What one thread needs to read some rows: native memory, so that loading leaves no garbage.</summary>
    private sealed class RowBuffer : IDisposable
    {
        private void* _memory;
        private long _bytes;

        /// <summary>Reads rows and writes them padded, and their scales to their places.</summary>
        /// <param name="source">The matrix.</param>
        /// <param name="shape">Its sizes.</param>
        /// <param name="first">First row.</param>
        /// <param name="count">Number of rows.</param>
        /// <param name="to">Where the first row goes.</param>
        /// <param name="scales">Scales of the piece: [tiles, groups, 8] pairs.</param>
        /// <param name="row">Row of the piece that is the first one.</param>
        public void Read(WeightSource source, Shape shape, int first, int count, byte* to, ushort* scales, int row)
        {
            int columns = shape.Columns, elements = count * columns, groups = (int)shape.Format.Groups(columns);
            Reserve((sizeof(float) + 1L) * elements + sizeof(float) * ((long)count * groups + 4));
            var floats = new Span<float>(_memory, elements);
            if (!shape.Format.IsInteger)
            {
                source.ReadRows(first, count, floats);
                bool bf16 = shape.Format.Kind == WeightKind.BF16;
                if (!bf16) RefuseOverflow(source, first, columns, floats);
                for (int r = 0; r < count; r++, to += shape.RowBytes)
                {
                    var words = new Span<ushort>(to, shape.PaddedColumns);
                    Span<float> numbers = floats.Slice(r * columns, columns);
                    if (bf16) Bf16.Narrow(numbers, words);
                    else HalfFloats.Narrow(numbers, words);
                    words[columns..].Clear();
                }

                return;
            }

            var rowScales = new Span<float>((float*)_memory + elements, count * groups);
            var values = new Span<sbyte>((float*)_memory + elements + count * groups, elements);
            IntegerRows.Read(source, first, count, shape.Format, floats, values, rowScales);
            for (int r = 0; r < count; r++, to += shape.RowBytes)
            {
                var padded = new Span<sbyte>(to, shape.PaddedColumns);
                values.Slice(r * columns, columns).CopyTo(padded);
                padded[columns..].Clear();
                int tile = (row + r) / TileRows, g = (row + r) % 8, upper = (row + r) % TileRows / 8;
                for (int group = 0; group < groups; group++)
                    scales[(((long)tile * shape.Groups + group) * 8 + g) * 2 + upper] = BitConverter.HalfToUInt16Bits((Half)rowScales[r * groups + group]);
            }
        }

        public void Dispose()
        {
            NativeMemory.AlignedFree(_memory);
            _memory = null;
            _bytes = 0;
        }

        private void Reserve(long bytes)
        {
            if (_bytes >= bytes) return;
            Dispose();
            _memory = NativeMemory.AlignedAlloc((nuint)bytes, 64);
            _bytes = bytes;
        }

        /// <summary>A finite weight that no half holds would become infinite without a word.</summary>
        private static void RefuseOverflow(WeightSource source, int first, int columns, ReadOnlySpan<float> values)
        {
            if (!HalfFloats.Overflows(values)) return;
            int index = 0;
            while (!float.IsFinite(values[index]) || Half.IsFinite((Half)values[index])) index++;
            throw new CheckpointException(
                $"{source.Name}, row {first + index / columns}: a weight of {values[index]:g3} is too large for f16: "
                + "use --weights bf16 (sm_80 and newer), or --device cpu");
        }
    }
}
