namespace LlavaSp.Cli.Output;

/// <summary>Plain text in columns, never cut to the width of a terminal.</summary>
internal static class Columns
{
    /// <summary>Writes a header and rows; columns from <paramref name="rightFrom"/> on are aligned to the right.</summary>
    public static void Write(TextWriter output, string[] header, IReadOnlyList<string[]> rows, int rightFrom = int.MaxValue)
    {
        int[] widths = [.. header.Select((title, i) => rows.Select(row => row[i].Length).Append(title.Length).Max())];
        foreach (string[] row in rows.Prepend(header))
        {
            output.WriteLine(string.Join("  ", row.Select((cell, i) => i >= rightFrom ? cell.PadLeft(widths[i]) : cell.PadRight(widths[i]))).TrimEnd());
        }
    }
}
