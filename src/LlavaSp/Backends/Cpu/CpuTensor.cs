namespace LlavaSp.Backends.Cpu;

/// <summary>A tensor in native memory, 64-byte aligned, or a range of rows of one.</summary>
internal sealed unsafe class CpuTensor : Tensor
{
    private readonly NativeBlock _block;
    private readonly long _offset;
    private readonly bool _owner;

    private CpuTensor(NativeBlock block, long offset, int rows, int columns, bool owner)
    {
        _block = block;
        _offset = offset;
        _owner = owner;
        Rows = rows;
        Columns = columns;
    }

    public override int Rows { get; }

    public override int Columns { get; }

    /// <summary>Number of elements.</summary>
    public long Length => (long)Rows * Columns;

    /// <summary>The first element; valid while this object is reachable and not disposed.</summary>
    public float* Data => (float*)_block.Pointer + _offset;

    public static CpuTensor Create(int rows, int columns)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(columns);
        return new CpuTensor(new NativeBlock(4L * rows * columns), 0, rows, columns, owner: true);
    }

    public override Tensor Slice(int first, int count)
    {
        if (first < 0 || count < 0 || first > Rows - count) throw new ArgumentOutOfRangeException(nameof(first), $"rows {first}+{count} of {Rows}");
        return new CpuTensor(_block, _offset + (long)first * Columns, count, Columns, owner: false);
    }

    public override void Read(Span<float> destination)
    {
        if (destination.Length < Length) throw new ArgumentException($"{destination.Length} places for [{Rows}, {Columns}]", nameof(destination));
        new ReadOnlySpan<float>(Data, checked((int)Length)).CopyTo(destination);
        GC.KeepAlive(this);
    }

    public override void Write(ReadOnlySpan<float> source)
    {
        if (source.Length != Length) throw new ArgumentException($"{source.Length} values for [{Rows}, {Columns}]", nameof(source));
        source.CopyTo(new Span<float>(Data, source.Length));
        GC.KeepAlive(this);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing && _owner) _block.Dispose();
        base.Dispose(disposing);
    }
}
