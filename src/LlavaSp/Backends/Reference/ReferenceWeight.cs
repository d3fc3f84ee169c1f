using LlavaSp.Quantization;

namespace LlavaSp.Backends.Reference;

/// <summary>A weight matrix as float32 rows that went once through its format: what the format's numbers are, computed with exactly.</summary>
internal sealed class ReferenceWeight : Weight
{
    private readonly float[][] _rows;

    private ReferenceWeight(float[][] rows, int columns, WeightFormat format)
    {
        _rows = rows;
        Columns = columns;
        Format = format;
    }

    public override long Rows => _rows.Length;

    public override long Columns { get; }

    public override WeightFormat Format { get; }

    public override long ByteLength => 4 * Rows * Columns;

    public ReadOnlySpan<float> Row(long row) => _rows[row];

    public static ReferenceWeight Create(WeightSource source, WeightFormat format)
    {
        int columns = checked((int)source.Columns);
        var rows = new float[checked((int)source.Rows)][];
        ParallelRows.For(rows.Length, r =>
        {
            var row = new float[columns];
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

            rows[r] = row;
        });
        source.Evict();
        return new ReferenceWeight(rows, columns, format);
    }

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
