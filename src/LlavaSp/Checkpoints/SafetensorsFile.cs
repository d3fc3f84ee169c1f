using System.Buffers.Binary;

namespace LlavaSp.Checkpoints;

/// <summary>
/// One safetensors file, memory-mapped: 8 bytes header length (little-endian), a JSON header, then the tensors' bytes without gaps.
/// The whole header is checked before any of it is used. Spans are as aligned as the file makes them, which may be to one byte.
/// </summary>
public sealed class SafetensorsFile : ITensorSource
{
    private const int LengthBytes = 8;

    private readonly MappedFile _file;
    private readonly long _dataStart;
    private readonly Dictionary<string, SafetensorsEntry> _entries;

    private SafetensorsFile(MappedFile file)
    {
        _file = file;
        if (file.Length < LengthBytes) throw Refusal.Of(file.Path, $"has {file.Length} bytes, too few for a safetensors file: truncated?");
        ulong headerLength = BinaryPrimitives.ReadUInt64LittleEndian(file.Slice(0, LengthBytes));
        if (headerLength > SafetensorsFormat.MaxHeader)
        {
            throw Refusal.Of(file.Path, $"says its header has {headerLength} bytes, more than {SafetensorsFormat.MaxHeader}: damaged?");
        }
        _dataStart = LengthBytes + (long)headerLength;
        if (_dataStart > file.Length)
        {
            long rest = file.Length - LengthBytes;
            throw Refusal.Of(file.Path, $"says its header has {headerLength} bytes but has only {rest} after the length: truncated?");
        }
        SafetensorsHeader header = SafetensorsHeader.Read(file.Path, file.Slice(LengthBytes, (long)headerLength), file.Length - _dataStart);
        _entries = header.Tensors;
        Metadata = header.Metadata;
        Tensors = _entries.ToDictionary(entry => entry.Key, entry => entry.Value.Info);
    }

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, TensorInfo> Tensors { get; }

    /// <summary>The strings under <c>__metadata__</c>; empty when the file has none.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>Maps the file and checks its header.</summary>
    /// <exception cref="CheckpointException">The file is missing, unreadable, truncated or breaks a rule of the format.</exception>
    public static SafetensorsFile Open(string path)
    {
        MappedFile file = MappedFile.Open(path);
        try
        {
            return new SafetensorsFile(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public string FileOf(string name) => Path.GetFileName(_file.Path);

    /// <inheritdoc/>
    public ReadOnlySpan<byte> GetBytes(string name)
    {
        SafetensorsEntry entry = Find(name);
        long length = entry.End - entry.Begin;
        if (length > TensorShape.MaxSpan) throw Refusal.Of(_file.Path, $"tensor {Refusal.Quote(name)} has {length} bytes, more than 2 GiB");
        return _file.Slice(_dataStart + entry.Begin, length);
    }

    /// <inheritdoc/>
    public void Evict(string name)
    {
        SafetensorsEntry entry = Find(name);
        _file.Evict(_dataStart + entry.Begin, entry.End - entry.Begin);
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private SafetensorsEntry Find(string name) =>
        _entries.TryGetValue(name, out SafetensorsEntry entry)
            ? entry
            : throw Refusal.Of(_file.Path, $"there is no tensor {Refusal.Quote(name)}");
}
