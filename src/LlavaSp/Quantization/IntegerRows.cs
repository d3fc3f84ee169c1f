using System.Buffers;
using System.Runtime.InteropServices;
using LlavaSp.Backends;

namespace LlavaSp.Quantization;

/// <summary>Integer rows of a matrix: as the checkpoint holds them when it is stored in that format, else quantised now.</summary>
public static class IntegerRows
{
    /// <summary>Reads rows <paramref name="first"/> to first + count - 1.</summary>
    /// <param name="source">The matrix [rows, columns].</param>
    /// <param name="first">First row.</param>
    /// <param name="count">Number of rows.</param>
    /// <param name="format">An integer format.</param>
    /// <param name="scratch">[count, columns], overwritten.</param>
    /// <param name="values">[count, columns] integers.</param>
    /// <param name="scales">[count, groups] scales.</param>
    /// <exception cref="CheckpointException">A weight cannot be quantised; the message names the matrix.</exception>
    public static void Read(
        WeightSource source, long first, int count, WeightFormat format, Span<float> scratch, Span<sbyte> values, Span<float> scales)
    {
        if (source.StoredFormat == format)
        {
            ReadStored(source, first, count, format, values, scales);
            return;
        }

        source.ReadRows(first, count, scratch);
        int columns = (int)source.Columns;
        int groups = (int)format.Groups(columns);
        for (int r = 0; r < count; r++)
        {
            try
            {
                GroupQuantizer.Quantize(
                    scratch.Slice(r * columns, columns), format, values.Slice(r * columns, columns), scales.Slice(r * groups, groups));
            }
            catch (CheckpointException e)
            {
                throw new CheckpointException($"{source.Name}, row {first + r}: {e.Message}", e);
            }
        }
    }

    private static void ReadStored(WeightSource source, long first, int count, WeightFormat format, Span<sbyte> values, Span<float> scales)
    {
        int columns = (int)source.Columns, bytes = (int)format.StoredRowBytes(columns);
        Half[] halves = ArrayPool<Half>.Shared.Rent(scales.Length);
        if (format.Kind == WeightKind.Int8)
        {
            source.ReadStoredRows(first, count, MemoryMarshal.AsBytes(values), halves.AsSpan(0, scales.Length));
        }
        else
        {
            byte[] packed = ArrayPool<byte>.Shared.Rent(count * bytes);
            source.ReadStoredRows(first, count, packed.AsSpan(0, count * bytes), halves.AsSpan(0, scales.Length));
            for (int r = 0; r < count; r++)
            {
                ReadOnlySpan<byte> row = packed.AsSpan(r * bytes, bytes);
                Span<sbyte> output = values.Slice(r * columns, columns);
                for (int i = 0; i < columns; i++) output[i] = (sbyte)(((row[i / 2] >> (4 * (i & 1))) & 15) - 8);
            }

            ArrayPool<byte>.Shared.Return(packed);
        }

        for (int i = 0; i < scales.Length; i++) scales[i] = (float)halves[i];
        ArrayPool<Half>.Shared.Return(halves);
    }
}
