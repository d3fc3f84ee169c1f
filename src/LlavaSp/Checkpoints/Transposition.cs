namespace LlavaSp.Checkpoints;

/// <summary>Transposes matrices in squares that stay in the cache.</summary>
internal static class Transposition
{
    private const int Square = 16;

    /// <summary>Writes source [rows, columns] as destination [columns, rows].</summary>
    public static void Run(ReadOnlySpan<float> source, int rows, int columns, Span<float> destination)
    {
        for (int top = 0; top < rows; top += Square)
        {
            int bottom = Math.Min(top + Square, rows);
            for (int left = 0; left < columns; left += Square)
            {
                int right = Math.Min(left + Square, columns);
                for (int c = left; c < right; c++)
                    for (int r = top; r < bottom; r++)
                        destination[c * rows + r] = source[r * columns + c];
            }
        }
    }
}
