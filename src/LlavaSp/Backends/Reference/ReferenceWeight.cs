using LlavaSp.Quantization;

namespace LlavaSp.Backends.Reference;

/// <summary>A weight matrix as float32 rows that went once through its format: what the format's numbers are, computed with exactly.</summary>
internal sealed class ReferenceWeight : Weight
{
    // Large arrays, which the garbage collector leaves where they are: as an array of its own, every row would be copied on its way through the generations.
    private const int BlockElements = 1 << 24;

    private readonly float[][] _blocks;
    private readonly int _columns, _rowsOfBlock;

    private ReferenceWeight(long rows, int columns, WeightFormat format)
    {
        Rows = rows;
        Format = format;
        _columns = columns;
        _rowsOfBlock = Math.Max(1, BlockElements / columns);
        _blocks = new float[checked((int)((rows + _rowsOfBlock - 1) / _rowsOfBlock))][];
        for (int i = 0; i < _blocks.Length; i++) _blocks[i] = new float[Math.Min(_rowsOfBlock, rows - (long)i * _rowsOfBlock) * columns];
    }

    public override long Rows { get; }

    public override long Columns => _columns;

    public override WeightFormat Format { get; }

    public override long ByteLength => 4 * Rows * Columns;

    public ReadOnlySpan<float> Row(long row) => MutableRow(row);

    public static ReferenceWeight Create(WeightSource source, WeightFormat format)
    {
        int columns = checked((int)source.Columns);
        var weight = new ReferenceWeight(source.Rows, columns, format);
        ParallelRows.For(checked((int)source.Rows), r =>
        {
            Span<float> row = weight.MutableRow(r);
            if (format.IsInteger)
            {
                var values = new sbyte[columns];
                var scales = new float[format.Groups(columns)];
                IntegerRows.Read(source, r, 1, format, row, values, scales);
                GroupQuantizer.Dequantize(values, scales, format.GroupSize, row);
            }
            else
            {
                source.ReadRows(r, 1, row);
                Round(row, format.Kind);
            }
        });
        source.Evict();
        return weight;
    }

    private Span<float> MutableRow(long row) => _blocks[row / _rowsOfBlock].AsSpan((int)(row % _rowsOfBlock) * _columns, _columns);

    private static void Round(Span<float> row, WeightKind kind)
    {
        switch (kind)
        {
            case WeightKind.F16:
                foreach (ref float x in row) x = (float)(Half)x;
                break;
            case WeightKind.BF16:
                foreach (ref float x in row) x = Bf16.Widen(Bf16.Narrow(x));
                break;
        }
    }
}
