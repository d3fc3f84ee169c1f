using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using LlavaSp.Checkpoints;

namespace LlavaSp.Evaluation.Benchmarks;

/// <summary>
/// LLaVA's answer files: one JSON object with <c>question_id, prompt, text, answer_id, model_id, metadata</c> in each line. A file that is there is
/// continued; an answer is in it whole or not at all.
/// </summary>
public sealed class AnswerFile : IDisposable
{
    // Relaxed: the readers are programs, not web pages, and text in other scripts stays legible.
    private static readonly JsonWriterOptions WriterOptions = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly FileStream _stream;
    private readonly List<(BenchmarkAnswer Answer, int Line)> _earlier = [];

    private AnswerFile(FileStream stream, string path)
    {
        _stream = stream;
        Path = path;
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>Bytes of a torn last line that were cut off: what an interruption left of an answer.</summary>
    public long CutBytes { get; private set; }

    /// <summary>Answers that were there, with their lines.</summary>
    public IReadOnlyList<(BenchmarkAnswer Answer, int Line)> Earlier => _earlier;

    /// <summary>Reads a finished file.</summary>
    /// <exception cref="BenchmarkException">It cannot be read, or a line is not an answer.</exception>
    public static IEnumerable<(BenchmarkAnswer Answer, int Line)> Read(string path) =>
        BenchmarkFiles.ReadLines(path, BenchmarkJson.Default.AnswerLine).Select(item => (Checked(item.Value, path, item.Line), item.Line));

    /// <summary>Opens a file to add answers: a new one, or one that an earlier run began.</summary>
    /// <exception cref="BenchmarkException">It cannot be written, another process writes it, or it is no answer file.</exception>
    public static AnswerFile Continue(string path)
    {
        FileSizeLimit.FailWrites();
        var file = new AnswerFile(Open(path), path);
        try
        {
            file.ReadEarlier();
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Adds an answer. It reaches the operating system before this returns.</summary>
    /// <exception cref="BenchmarkException">It cannot be written; what was there stays.</exception>
    public void Append(BenchmarkAnswer answer)
    {
        ArgumentNullException.ThrowIfNull(answer);
        var line = new ArrayBufferWriter<byte>(512);
        using (var json = new Utf8JsonWriter(line, WriterOptions))
        {
            json.WriteStartObject();
            json.WritePropertyName("question_id");
            answer.Id.Write(json);
            json.WriteString("prompt", answer.Prompt);
            json.WriteString("text", answer.Text);
            json.WriteString("answer_id", answer.AnswerId);
            json.WriteString("model_id", answer.ModelId);
            json.WriteStartObject("metadata");
            json.WriteEndObject();
            json.WriteEndObject();
        }

        line.Write("\n"u8);
        Write(line.WrittenSpan);
    }

    /// <summary>Closes the file; what was added is on the disk then.</summary>
    public void Dispose() => _stream.Dispose();

    private static FileStream Open(string path)
    {
        try
        {
            // No buffer: an answer is one write. Nobody else may write meanwhile, for which .NET has one kind of lock outside Windows.
            FileShare share = OperatingSystem.IsWindows() ? FileShare.Read : FileShare.None;
            var stream = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, share, bufferSize: 0);
            if (stream.CanSeek) return stream;
            stream.Dispose();
            throw new BenchmarkException($"{path} cannot be written: it is not a file that can be continued");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new BenchmarkException($"{path} cannot be written: {e.Message}", e);
        }
    }

    private void ReadEarlier()
    {
        var lines = new LineReader(_stream, Path);
        bool needsBreak = false;
        while (lines.Read())
        {
            if (lines.Json.IsEmpty) continue;
            if (!lines.IsWhole && BenchmarkFiles.IsTorn(lines.Json.Span))
            {
                CutBytes = lines.Line.Length;
                _stream.SetLength(lines.Offset);
                break;
            }

            _earlier.Add((Checked(BenchmarkFiles.Parse(lines.Json.Span, BenchmarkJson.Default.AnswerLine, Path, lines.Number), Path, lines.Number), lines.Number));
            needsBreak = !lines.IsWhole;
        }

        _stream.Seek(0, SeekOrigin.End);
        if (needsBreak) Write("\n"u8);
    }

    private void Write(ReadOnlySpan<byte> bytes)
    {
        long end = _stream.Position;
        try
        {
            _stream.Write(bytes);
        }
        // The last kind is what .NET makes of a file that reaches the limit on its size.
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            CutBack(end);
            throw new BenchmarkException($"{Path} cannot be written: {e.Message}: the answers before this one are in it; run the command again to go on", e);
        }
    }

    // A full disk takes the first part of a line. Where even cutting fails the next run cuts.
    private void CutBack(long end)
    {
        try
        {
            _stream.SetLength(end);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
        }
    }

    private static BenchmarkAnswer Checked(AnswerLine line, string path, int number) => new(
        BenchmarkFiles.Required(line.Id, "question_id", path, number),
        BenchmarkFiles.Required(line.Prompt, "prompt", path, number),
        BenchmarkFiles.Required(line.Text, "text", path, number),
        line.AnswerId ?? "",
        line.ModelId ?? "");
}
