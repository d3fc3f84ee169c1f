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
            source.ReadIntegerRows(first, count, values, scales);
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
}
