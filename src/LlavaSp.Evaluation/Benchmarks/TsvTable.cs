using System.Text;

namespace LlavaSp.Evaluation.Benchmarks;

/// <summary>A table of text separated by tabs as MMBench has it: names in the first line; a field in quotation marks may hold tabs and line breaks.</summary>
public sealed class TsvTable
{
    private readonly Dictionary<string, int> _columns;

    private TsvTable(string path, string[] columns, List<string[]> rows)
    {
        Path = path;
        Columns = columns;
        Rows = rows;
        _columns = columns.Select((name, i) => (name, i)).ToDictionary(column => column.name, column => column.i);
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>Names of the columns.</summary>
    public IReadOnlyList<string> Columns { get; }

    /// <summary>Fields by row and column.</summary>
    public IReadOnlyList<string[]> Rows { get; }

    /// <summary>Reads a table.</summary>
    /// <param name="path">The file.</param>
    /// <param name="left">Columns whose fields are not kept: pictures take most of the file.</param>
    /// <exception cref="BenchmarkException">It cannot be read, or is no such table.</exception>
    public static TsvTable Read(string path, params string[] left)
    {
        using var reader = new StreamReader(BenchmarkFiles.Open(path), new UTF8Encoding(false, throwOnInvalidBytes: true));
        try
        {
            int line = 1;
            string[] columns = ReadRow(reader, path, ref line, _ => true)
                ?? throw new BenchmarkException($"{path}: is empty: give the benchmark's own tsv file");
            if (columns.Distinct().Count() != columns.Length || columns.Length < 2)
                throw new BenchmarkException($"{path} line 1: does not name the columns of a table: give the benchmark's own tsv file");
            bool[] kept = [.. columns.Select(name => !left.Contains(name))];
            var rows = new List<string[]>();
            while (true)
            {
                int start = line;
                if (ReadRow(reader, path, ref line, i => i < kept.Length && kept[i]) is not { } row) break;
                if (row is [""]) continue;
                if (row.Length != columns.Length)
                {
                    throw new BenchmarkException(
                        $"{path} line {start}: has {row.Length} fields where there are {columns.Length} columns: give the file as it was published");
                }

                rows.Add(row);
            }

            return new TsvTable(path, columns, rows);
        }
        catch (DecoderFallbackException e)
        {
            throw new BenchmarkException($"{path}: is not text in UTF-8: give the benchmark's own tsv file", e);
        }
    }

    /// <summary>Whether there is such a column.</summary>
    public bool Has(string column) => _columns.ContainsKey(column);

    /// <summary>A field.</summary>
    /// <exception cref="BenchmarkException">There is no such column.</exception>
    public string Field(string[] row, string column)
    {
        ArgumentNullException.ThrowIfNull(row);
        return _columns.TryGetValue(column, out int i)
            ? row[i]
            : throw new BenchmarkException($"{Path}: has no column {column}: give the benchmark's own tsv file");
    }

    /// <summary>Whether a field stands for nothing: empty, or one of pandas' words for that which occur in MMBench.</summary>
    public static bool IsNone(string field) => field is "" or "nan" or "NaN" or "None" or "NA" or "N/A" or "null" or "NULL";

    /// <summary>MMBench's options of a row, up to the first that is empty.</summary>
    internal List<(char Letter, string Text)> Options(string[] row) =>
        [.. "ABCD".Select(letter => (Letter: letter, Text: Has(letter.ToString()) ? Field(row, letter.ToString()) : "")).TakeWhile(option => !IsNone(option.Text))];

    private static string[]? ReadRow(StreamReader reader, string path, ref int line, Func<int, bool> isKept)
    {
        if (reader.Peek() < 0) return null;
        var fields = new List<string>();
        var field = new StringBuilder();
        // A quotation mark has a meaning only where a field begins and while it lasts.
        bool quoted = false, begun = false, keep = isKept(0);
        int start = line;
        while (true)
        {
            int c = reader.Read();
            if (c == '\n') line++;
            if (c < 0 && quoted) throw new BenchmarkException($"{path} line {start}: a quotation mark is not closed: give the file as it was published");
            if (quoted && c == '"' && reader.Peek() == '"')
            {
                reader.Read();
                if (keep) field.Append('"');
            }
            else if (c == '"' && (quoted || !begun))
            {
                quoted = !quoted;
                begun = true;
            }
            else if (!quoted && c is '\t' or '\n' or < 0)
            {
                if (c != '\t' && field.Length > 0 && field[^1] == '\r') field.Length--;
                fields.Add(field.ToString());
                field.Clear();
                if (c != '\t') return [.. fields];
                keep = isKept(fields.Count);
                begun = false;
            }
            else
            {
                begun = true;
                if (!keep) continue;
                if (field.Length == LineReader.LongestLine)
                    throw new BenchmarkException($"{path} line {start}: a field is longer than {LineReader.LongestLine >> 20} MiB: give the file as it was published");
                field.Append((char)c);
            }
        }
    }
}
