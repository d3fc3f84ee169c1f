using System.Runtime.InteropServices;
using LlavaSp.Quantization;

namespace LlavaSp.Backends.Cuda;

/// <summary>Element type of an activation on the device; the numbers are those that the kernels know.</summary>
internal enum Element
{
    /// <summary>float32.</summary>
    F32 = 0,

    /// <summary>IEEE half.</summary>
    F16 = 1,

    /// <summary>bfloat16.</summary>
    BF16 = 2,
}

/// <summary>An activation in device memory, row after row at a stride, or a range of rows of one.</summary>
internal sealed class CudaTensor : Tensor
{
    /// <summary>Rows begin at multiples of this many elements.</summary>
    public const int ColumnUnit = 8;

    private readonly CudaDevice _device;
    private readonly DeviceBlock _block;
    private readonly long _offset;
    private readonly bool _owner;

    private CudaTensor(CudaDevice device, DeviceBlock block, long offset, int rows, int columns, Element element, bool owner)
    {
        _device = device;
        _block = block;
        _offset = offset;
        _owner = owner;
        Rows = rows;
        Columns = columns;
        Element = element;
    }

    public override int Rows { get; }

    public override int Columns { get; }

    /// <summary>Type of an element in memory.</summary>
    public Element Element { get; }

    /// <summary>Elements from one row to the next: columns rounded up to a multiple of 8. What lies between may be NaN.</summary>
    public int Stride => (Columns + ColumnUnit - 1) / ColumnUnit * ColumnUnit;

    /// <summary>Bytes of an element.</summary>
    public int ElementBytes => Element == Element.F32 ? sizeof(float) : sizeof(ushort);

    /// <summary>The first element on the device, 16-byte aligned; valid while this object is not disposed.</summary>
    public ulong Address => _block.Address + (ulong)_offset;

    /// <summary>Allocates one with undefined contents.</summary>
    public static CudaTensor Create(CudaDevice device, int rows, int columns, Element element)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(columns);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(columns, int.MaxValue - ColumnUnit);
        long bytes = (long)rows * ((columns + ColumnUnit - 1) / ColumnUnit * ColumnUnit) * (element == Element.F32 ? sizeof(float) : sizeof(ushort));
        return new CudaTensor(device, device.Allocate(bytes, $"an activation [{rows}, {columns}]"), 0, rows, columns, element, owner: true);
    }

    public override Tensor Slice(int first, int count)
    {
        if (first < 0 || count < 0 || first > Rows - count) throw new ArgumentOutOfRangeException(nameof(first), $"rows {first}+{count} of {Rows}");
        return new CudaTensor(_device, _block, _offset + (long)first * Stride * ElementBytes, count, Columns, Element, owner: false);
    }

    public override void Read(Span<float> destination)
    {
        if (destination.Length < (long)Rows * Columns) throw new ArgumentException($"{destination.Length} places for [{Rows}, {Columns}]", nameof(destination));
        foreach ((int row, int rows, int column, int columns) in Pieces())
        {
            // A piece of several rows takes the gaps between them along.
            int elements = rows == 1 ? columns : (rows - 1) * Stride + columns;
            ReadOnlySpan<byte> bytes = _device.Fetch(AddressOf(row, column), elements * ElementBytes);
            for (int r = 0; r < rows; r++)
            {
                ReadOnlySpan<byte> from = bytes.Slice(r * Stride * ElementBytes, columns * ElementBytes);
                Span<float> to = destination.Slice((row + r) * Columns + column, columns);
                if (Element == Element.F32) MemoryMarshal.Cast<byte, float>(from).CopyTo(to);
                else if (Element == Element.F16) HalfFloats.Widen(MemoryMarshal.Cast<byte, ushort>(from), to);
                else Bf16.Widen(MemoryMarshal.Cast<byte, ushort>(from), to);
            }
        }

        GC.KeepAlive(this);
    }

    public override void Write(ReadOnlySpan<float> source)
    {
        if (source.Length != (long)Rows * Columns) throw new ArgumentException($"{source.Length} values for [{Rows}, {Columns}]", nameof(source));
        foreach ((int row, int rows, int column, int columns) in Pieces())
        {
            int elements = rows == 1 ? columns : (rows - 1) * Stride + columns;
            Span<byte> bytes = _device.Stage(elements * ElementBytes);
            // NaN in either type: whoever computes with the gaps is found out.
            if (columns < Stride) bytes.Fill(0xff);
            for (int r = 0; r < rows; r++)
            {
                ReadOnlySpan<float> from = source.Slice((row + r) * Columns + column, columns);
                Span<byte> to = bytes.Slice(r * Stride * ElementBytes, columns * ElementBytes);
                if (Element == Element.F32) from.CopyTo(MemoryMarshal.Cast<byte, float>(to));
                else if (Element == Element.F16) HalfFloats.Narrow(from, MemoryMarshal.Cast<byte, ushort>(to));
                else Bf16.Narrow(from, MemoryMarshal.Cast<byte, ushort>(to));
            }

            _device.Send(AddressOf(row, column), elements * ElementBytes);
        }

        GC.KeepAlive(this);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing && _owner) _block.Dispose();
        base.Dispose(disposing);
    }

    private ulong AddressOf(int row, int column) => Address + (ulong)(((long)row * Stride + column) * ElementBytes);

    /// <summary>Cuts the tensor into whole rows, or parts of a row, that the staging buffer holds.</summary>
    private PieceEnumerator Pieces() => new(Rows, Columns, Stride, StagingRing.PieceBytes / ElementBytes);

    /// <summary>The cut, without garbage: a decode step may write a row of the rotary table.</summary>
    private struct PieceEnumerator(int rows, int columns, int stride, int elements)
    {
        private readonly int _rowsAtOnce = Math.Max(1, elements / stride);
        private int _row;
        private int _column;

        public (int Row, int Rows, int Column, int Columns) Current { get; private set; }

        public readonly PieceEnumerator GetEnumerator() => this;

        public bool MoveNext()
        {
            if (_row >= rows) return false;
            int count = stride > elements ? 1 : Math.Min(_rowsAtOnce, rows - _row), width = stride > elements ? Math.Min(elements, columns - _column) : columns;
            Current = (_row, count, _column, width);
            _column += width;
            if (_column < columns) return true;
            _column = 0;
            _row += count;
            return true;
        }
    }
}
