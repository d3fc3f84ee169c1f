using System.Buffers;
using System.Runtime.InteropServices;
using LlavaSp.Backends;
using LlavaSp.Quantization;

namespace LlavaSp.Checkpoints;

/// <summary>A floating-point matrix of a checkpoint, with its LoRA update merged in float32 row by row.</summary>
internal sealed class StoredMatrix(CatalogEntry entry, long rows, long columns, LoraDelta? lora) : WeightSource
{
    public override string Name => entry.Name;

    public override long Rows => rows;

    public override long Columns => columns;

    public override WeightFormat? StoredFormat => lora is not null ? null : entry.Info.DType switch
    {
        DType.F32 => WeightFormat.F32,
        DType.F16 => WeightFormat.F16,
        DType.BF16 => WeightFormat.BF16,
        _ => null,
    };

    public override void ReadStoredRows(long first, int count, Span<byte> values, Span<Half> scales)
    {
        long bytes = StoredFormat!.Value.StoredRowBytes(columns);
        entry.Source.GetBytes(entry.Info.Name).Slice(checked((int)(first * bytes)), checked((int)(count * bytes))).CopyTo(values);
    }

    public override void ReadRows(long first, int count, Span<float> destination)
    {
        int size = entry.Info.DType.ByteSize();
        ReadOnlySpan<byte> bytes = entry.Source.GetBytes(entry.Info.Name);
        Floats.Convert(bytes.Slice(checked((int)(first * columns * size)), checked((int)(count * columns * size))), entry.Info.DType, destination);
        if (lora is null) return;
        for (int r = 0; r < count; r++) lora.AddRow(first + r, destination.Slice(r * (int)columns, (int)columns));
    }

    public override void Evict() => entry.Source.Evict(entry.Info.Name);
}

/// <summary>A convolution's rows turned from [channels, positions] to [positions, channels], the order of the patch features.</summary>
internal sealed class KernelMatrix(WeightSource inner, int positions, int channels) : WeightSource
{
    public override string Name => inner.Name;

    public override long Rows => inner.Rows;

    public override long Columns => inner.Columns;

    public override void ReadRows(long first, int count, Span<float> destination)
    {
        int columns = positions * channels;
        float[] rented = ArrayPool<float>.Shared.Rent(columns);
        Span<float> row = rented.AsSpan(0, columns);
        for (int r = 0; r < count; r++)
        {
            inner.ReadRows(first + r, 1, row);
            Transposition.Run(row, channels, positions, destination.Slice(r * columns, columns));
        }

        ArrayPool<float>.Shared.Return(rented);
    }

    public override void Evict() => inner.Evict();
}

/// <summary>A matrix that this runtime stored as integers with group scales. Int4 packs the even column into the low nibble, plus 8.</summary>
internal sealed class IntegerMatrix(CatalogEntry values, CatalogEntry scales, WeightFormat format, long rows, long columns) : WeightSource
{
    public override string Name => values.Name;

    public override long Rows => rows;

    public override long Columns => columns;

    public override WeightFormat? StoredFormat => format;

    public override void ReadStoredRows(long first, int count, Span<byte> rowValues, Span<Half> rowScales)
    {
        int groups = (int)format.Groups(columns), stored = (int)format.StoredRowBytes(columns);
        values.Source.GetBytes(values.Info.Name).Slice(checked((int)(first * stored)), count * stored).CopyTo(rowValues);
        MemoryMarshal.Cast<byte, Half>(scales.Source.GetBytes(scales.Info.Name)).Slice(checked((int)(first * groups)), count * groups).CopyTo(rowScales);
    }

    public override void ReadRows(long first, int count, Span<float> destination)
    {
        int width = (int)columns, groups = (int)format.Groups(columns);
        var integers = new sbyte[count * width];
        var groupScales = new float[count * groups];
        IntegerRows.Read(this, first, count, format, [], integers, groupScales);
        for (int r = 0; r < count; r++)
        {
            GroupQuantizer.Dequantize(
                integers.AsSpan(r * width, width), groupScales.AsSpan(r * groups, groups), format.GroupSize, destination.Slice(r * width, width));
        }
    }

    public override void Evict()
    {
        values.Source.Evict(values.Info.Name);
        scales.Source.Evict(scales.Info.Name);
    }
}

/// <summary>Several matrices of equal width below one another: q, k, v or gate, up as one product.</summary>
internal sealed class StackedMatrix : WeightSource
{
    private readonly WeightSource[] _parts;

    public StackedMatrix(params WeightSource[] parts)
    {
        _parts = parts;
        if (parts.Any(part => part.Columns != parts[0].Columns)) throw new ArgumentException("stacked matrices need the same width", nameof(parts));
    }

    public override string Name => string.Join(" + ", _parts.Select(part => part.Name));

    public override long Rows => _parts.Sum(part => part.Rows);

    public override long Columns => _parts[0].Columns;

    public override WeightFormat? StoredFormat => _parts.All(part => part.StoredFormat == _parts[0].StoredFormat) ? _parts[0].StoredFormat : null;

    public override void ReadRows(long first, int count, Span<float> destination)
    {
        int columns = (int)Columns;
        foreach ((WeightSource part, long start, int rows, int at) in Pieces(first, count))
            part.ReadRows(start, rows, destination.Slice(at * columns, rows * columns));
    }

    public override void ReadStoredRows(long first, int count, Span<byte> values, Span<Half> scales)
    {
        WeightFormat format = StoredFormat!.Value;
        int bytes = (int)format.StoredRowBytes(Columns), groups = (int)format.Groups(Columns);
        foreach ((WeightSource part, long start, int rows, int at) in Pieces(first, count))
            part.ReadStoredRows(start, rows, values.Slice(at * bytes, rows * bytes), scales.Slice(at * groups, rows * groups));
    }

    public override void Evict()
    {
        foreach (WeightSource part in _parts) part.Evict();
    }

    private IEnumerable<(WeightSource Part, long Start, int Rows, int At)> Pieces(long first, int count)
    {
        long offset = 0;
        foreach (WeightSource part in _parts)
        {
            long start = Math.Max(first, offset), end = Math.Min(first + count, offset + part.Rows);
            if (start < end) yield return (part, start - offset, (int)(end - start), (int)(start - first));
            offset += part.Rows;
        }
    }
}
