using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using LlavaSp.Checkpoints;

namespace LlavaSp.Evaluation.Benchmarks;

/// <summary>Opening and parsing of files from outside: every complaint names the file, the line, and what to do.</summary>
internal static class BenchmarkFiles
{
    /// <summary>Opens a file for reading.</summary>
    /// <exception cref="BenchmarkException">It is not there or cannot be read.</exception>
    public static FileStream Open(string path)
    {
        try
        {
            return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, 1 << 16, FileOptions.SequentialScan);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new BenchmarkException(Directory.Exists(path) ? $"{path}: is a folder, a file is needed" : $"{path}: no such file", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new BenchmarkException(
                Directory.Exists(path) ? $"{path}: is a folder, a file is needed" : $"{path}: cannot be read: {e.Message}", e);
        }
    }

    /// <summary>The object of every line that has one, with the line's number.</summary>
    /// <exception cref="BenchmarkException">The file cannot be read, or a line is something else.</exception>
    public static IEnumerable<(T Value, int Line)> ReadLines<T>(string path, JsonTypeInfo<T> type) where T : class
    {
        using FileStream stream = Open(path);
        var lines = new LineReader(stream, path);
        while (lines.Read())
        {
            if (!lines.Json.IsEmpty) yield return (Parse(lines.Json.Span, type, path, lines.Number), lines.Number);
        }
    }

    /// <summary>The object in one line.</summary>
    /// <exception cref="BenchmarkException">It is something else.</exception>
    public static T Parse<T>(ReadOnlySpan<byte> json, JsonTypeInfo<T> type, string path, int line) where T : class
    {
        try
        {
            return JsonSerializer.Deserialize(json, type) ?? throw new BenchmarkException($"{path} line {line}: null, not an object: mend the line or take it out");
        }
        catch (Exception e) when (IsBadJson(e))
        {
            throw new BenchmarkException($"{path} line {line}: {Reason(e)}: mend the line or take it out", e);
        }
    }

    /// <summary>A whole file that is one JSON value.</summary>
    /// <exception cref="BenchmarkException">It cannot be read, or holds something else.</exception>
    public static T ReadWhole<T>(string path, JsonTypeInfo<T> type) where T : class
    {
        using FileStream stream = Open(path);
        try
        {
            return JsonSerializer.Deserialize(stream, type) ?? throw new BenchmarkException($"{path}: null, not an object");
        }
        catch (Exception e) when (IsBadJson(e))
        {
            string line = e is JsonException { LineNumber: { } number } ? $" line {number + 1}" : "";
            throw new BenchmarkException($"{path}{line}: {Reason(e)}: give the benchmark's own annotation file", e);
        }
    }

    /// <summary>A field that every line must have.</summary>
    public static T Required<T>(T? value, string name, string path, int line) where T : class =>
        value ?? throw Missing(name, path, line);

    /// <summary>A field that every line must have.</summary>
    public static T Required<T>(T? value, string name, string path, int line) where T : struct =>
        value ?? throw Missing(name, path, line);

    /// <summary>Whether a line is the beginning of a JSON object that goes on: what an interrupted write leaves.</summary>
    public static bool IsTorn(ReadOnlySpan<byte> json)
    {
        if (json.IsEmpty || json[0] != (byte)'{') return false;
        var reader = new Utf8JsonReader(json, isFinalBlock: false, default);
        try
        {
            while (reader.Read())
            {
                if (reader.CurrentDepth == 0 && reader.TokenType == JsonTokenType.EndObject) return false;
            }
        }
        catch (JsonException)
        {
            return false;
        }

        return true;
    }

    // Strings that are not Unicode make the reader throw the second kind.
    private static bool IsBadJson(Exception e) => e is JsonException or InvalidOperationException;

    private static string Reason(Exception e) => e switch
    {
        JsonException { InnerException: JsonException } => "is not valid JSON",
        JsonException { Path: { } path } when path.Length > 1 => $"{Refusal.Quote(path.TrimStart('$').TrimStart('.'))} is missing, of the wrong type or not Unicode",
        JsonException => "is not a JSON object of the right form",
        _ => "holds a string that is not Unicode",
    };

    private static BenchmarkException Missing(string name, string path, int line) =>
        new($"{path} line {line}: '{name}' is missing: mend the line or take it out");
}
