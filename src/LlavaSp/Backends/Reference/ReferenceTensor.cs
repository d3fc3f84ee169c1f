namespace LlavaSp.Backends.Reference;

/// <summary>A tensor in managed memory.</summary>
internal sealed class ReferenceTensor(float[] data, int offset, int rows, int columns) : Tensor
{
    public override int Rows { get; } = rows;

    public override int Columns { get; } = columns;

    public Span<float> Span => data.AsSpan(offset, Rows * Columns);

    public Span<float> Row(int row) => data.AsSpan(offset + row * Columns, Columns);

    public static ReferenceTensor Create(int rows, int columns) => new(new float[checked(rows * columns)], 0, rows, columns);

    public override Tensor Slice(int first, int count)
    {
        if (first < 0 || count < 0 || first > Rows - count) throw new ArgumentOutOfRangeException(nameof(first), $"rows {first}+{count} of {Rows}");
        return new ReferenceTensor(data, offset + first * Columns, count, Columns);
    }

    public override void Read(Span<float> destination) => Span.CopyTo(destination);

    public override void Write(ReadOnlySpan<float> source)
    {
        if (source.Length != Rows * Columns) throw new ArgumentException($"{source.Length} values for [{Rows}, {Columns}]", nameof(source));
        source.CopyTo(Span);
    }
}
