using System.Buffers;
using System.Buffers.Binary;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace LlavaSp.Checkpoints;

/// <summary>
/// Writes one safetensors file tensor by tensor, so that only the chunk at hand is in memory. The bytes go to a temporary file in the
/// same folder, which <see cref="Complete"/> renames; disposing earlier deletes it, so that nothing half-written stays behind.
/// Not thread-safe.
/// </summary>
public sealed class SafetensorsWriter : IDisposable
{
    private readonly string _path;
    private readonly string _temporary;
    private readonly IReadOnlyList<TensorInfo> _tensors;
    private readonly Stream _stream;
    private int _current = -1;
    private long _missing;
    private bool _closed;

    private SafetensorsWriter(string path, string temporary, IReadOnlyList<TensorInfo> tensors, Stream stream)
    {
        (_path, _temporary, _tensors, _stream) = (path, temporary, tensors, stream);
    }

    /// <summary>Opens the temporary file and writes the header, padded with spaces to a multiple of 8 bytes.</summary>
    /// <param name="path">File to write; an existing one is replaced when the writing is complete.</param>
    /// <param name="tensors">Every tensor, in the order in which the bytes will come. The format has no padding between tensors:
    /// put the wider types first where alignment matters.</param>
    /// <param name="metadata">Strings for <c>__metadata__</c>, e.g. <c>format: pt</c>.</param>
    /// <exception cref="LlavaSpException">The file cannot be written: folder, permission, space.</exception>
    /// <exception cref="ArgumentException">A name is empty, reserved or there twice, or a shape is impossible.</exception>
    public static SafetensorsWriter Create(
        string path, IReadOnlyList<TensorInfo> tensors, IReadOnlyDictionary<string, string>? metadata = null) =>
        Create(path, tensors, metadata, OpenTemporary);

    /// <summary>As above, with the stream made by <paramref name="open"/> from the temporary path and the length that is to come.</summary>
    internal static SafetensorsWriter Create(
        string path, IReadOnlyList<TensorInfo> tensors, IReadOnlyDictionary<string, string>? metadata, Func<string, long, Stream> open)
    {
        byte[] header = Header(tensors, metadata, out long dataLength);
        string temporary = $"{path}.{Path.GetRandomFileName()}.tmp";
        FileSizeLimit.FailWrites();
        Stream stream;
        try
        {
            stream = open(temporary, checked(header.Length + dataLength));
        }
        catch (Exception cause) when (IsWriteFailure(cause))
        {
            throw Failure(path, cause);
        }
        SafetensorsWriter writer = new(path, temporary, tensors, stream);
        try
        {
            writer.Guarded(() => stream.Write(header));
            return writer;
        }
        catch
        {
            writer.Dispose();
            throw;
        }
    }

    /// <summary>Starts the next tensor; the name must be the next of the declared list, and the tensor before must be complete.</summary>
    /// <exception cref="InvalidOperationException">Out of order.</exception>
    public void Begin(string name)
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        ThrowIfMissing();
        string? next = _current + 1 < _tensors.Count ? _tensors[_current + 1].Name : null;
        if (name != next) throw new InvalidOperationException($"{name} was begun where {next ?? "the end"} was declared");
        _current++;
        _missing = _tensors[_current].ByteLength;
    }

    /// <summary>Appends to the tensor that <see cref="Begin"/> started: little-endian, row-major, in chunks of any size.</summary>
    /// <exception cref="InvalidOperationException">More bytes than the declared shape has.</exception>
    /// <exception cref="LlavaSpException">The bytes cannot be written, e.g. because the disk is full.</exception>
    public void Write(ReadOnlySpan<byte> bytes)
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        if (bytes.Length > _missing) throw new InvalidOperationException($"{bytes.Length} bytes were written where {_missing} were left");
        try
        {
            _stream.Write(bytes);
        }
        catch (Exception cause) when (IsWriteFailure(cause))
        {
            Dispose();
            throw Failure(_path, cause);
        }
        _missing -= bytes.Length;
    }

    /// <summary>Flushes to the disk and gives the file its name. The writer is finished afterwards.</summary>
    /// <exception cref="InvalidOperationException">A declared tensor is missing or incomplete.</exception>
    /// <exception cref="LlavaSpException">The bytes cannot be written, e.g. because the disk is full.</exception>
    public void Complete()
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        ThrowIfMissing();
        if (_current != _tensors.Count - 1)
        {
            throw new InvalidOperationException($"tensor {_tensors[_current + 1].Name} was declared but not written");
        }
        try
        {
            Guarded(() =>
            {
                // Before the rename, or a power cut could leave the name with nothing behind it.
                if (_stream is FileStream file) file.Flush(flushToDisk: true);
                else _stream.Flush();
                _stream.Dispose();
                File.Move(_temporary, _path, overwrite: true);
            });
            _closed = true;
        }
        finally
        {
            Dispose();
        }
    }

    /// <summary>Deletes the temporary file unless <see cref="Complete"/> has succeeded.</summary>
    public void Dispose()
    {
        if (_closed) return;
        _closed = true;
        // What is buffered is thrown away with the file: that it cannot be written any more is no news.
        try { _stream.Dispose(); }
        catch (Exception cause) when (IsWriteFailure(cause)) { }
        try { File.Delete(_temporary); }
        catch (Exception cause) when (IsWriteFailure(cause)) { }
    }

    private void ThrowIfMissing()
    {
        if (_missing > 0) throw new InvalidOperationException($"tensor {_tensors[_current].Name} still lacks {_missing} bytes");
    }

    private void Guarded(Action write)
    {
        try
        {
            write();
        }
        catch (Exception cause) when (IsWriteFailure(cause))
        {
            throw Failure(_path, cause);
        }
    }

    private static FileStream OpenTemporary(string path, long length) => new(path, new FileStreamOptions
    {
        Mode = FileMode.CreateNew,
        Access = FileAccess.Write,
        Share = FileShare.None,
        BufferSize = 1 << 16,
        PreallocationSize = length, // a disk that is too small says so now, not after an hour
    });

    /// <summary>Whether the exception says that a file could not be written; the runtime reports EFBIG as an argument out of range.</summary>
    internal static bool IsWriteFailure(Exception cause) =>
        cause is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentOutOfRangeException;

    private static LlavaSpException Failure(string path, Exception cause) =>
        new($"{Refusal.OneLine(path)}: cannot be written: {Refusal.OneLine(cause.Message)}", cause);

    private static byte[] Header(IReadOnlyList<TensorInfo> tensors, IReadOnlyDictionary<string, string>? metadata, out long dataLength)
    {
        dataLength = 0;
        HashSet<string> names = [];
        ArrayBufferWriter<byte> buffer = new();
        // Plain text instead of \u escapes for what HTML would mind; the file is no HTML.
        using (Utf8JsonWriter json = new(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            if (metadata is not null) WriteMetadata(json, metadata);
            foreach (TensorInfo tensor in tensors)
            {
                if (tensor.Name is "" or SafetensorsFormat.MetadataKey || !names.Add(tensor.Name))
                {
                    throw new ArgumentException($"{Refusal.Quote(tensor.Name)} is empty, reserved or there twice", nameof(tensors));
                }
                if (tensor.Shape.Length > TensorShape.MaxRank || !TensorShape.TryByteLength(tensor.DType, tensor.Shape, out long bytes))
                {
                    throw new ArgumentException($"{tensor.Name} has an impossible shape {tensor.ShapeText}", nameof(tensors));
                }
                long end = checked(dataLength + bytes);
                WriteTensor(json, tensor, dataLength, end);
                dataLength = end;
            }
            json.WriteEndObject();
        }
        return Frame(buffer.WrittenSpan);
    }

    private static void WriteMetadata(Utf8JsonWriter json, IReadOnlyDictionary<string, string> metadata)
    {
        json.WriteStartObject(SafetensorsFormat.MetadataKey);
        foreach ((string key, string value) in metadata) json.WriteString(key, value);
        json.WriteEndObject();
    }

    private static void WriteTensor(Utf8JsonWriter json, TensorInfo tensor, long begin, long end)
    {
        json.WriteStartObject(tensor.Name);
        json.WriteString("dtype"u8, SafetensorsFormat.Name(tensor.DType));
        json.WriteStartArray("shape"u8);
        foreach (long size in tensor.Shape) json.WriteNumberValue(size);
        json.WriteEndArray();
        json.WriteStartArray("data_offsets"u8);
        json.WriteNumberValue(begin);
        json.WriteNumberValue(end);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    // The length, the JSON, then spaces so that the first tensor is 8-aligned.
    private static byte[] Frame(ReadOnlySpan<byte> json)
    {
        int padded = (json.Length + 7) / 8 * 8;
        if (padded > SafetensorsFormat.MaxHeader)
        {
            throw new ArgumentException($"the header would have {padded} bytes, more than {SafetensorsFormat.MaxHeader}");
        }
        byte[] header = new byte[8 + padded];
        BinaryPrimitives.WriteUInt64LittleEndian(header, (ulong)padded);
        json.CopyTo(header.AsSpan(8));
        header.AsSpan(8 + json.Length).Fill((byte)' ');
        return header;
    }
}
