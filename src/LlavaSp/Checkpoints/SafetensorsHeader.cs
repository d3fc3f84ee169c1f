using System.Text.Json;
using System.Text.Unicode;

namespace LlavaSp.Checkpoints;

/// <summary>A tensor of a safetensors file and where its bytes lie, counted from the start of the data.</summary>
internal readonly record struct SafetensorsEntry(TensorInfo Info, long Begin, long End);

/// <summary>
/// Reads the JSON header of a safetensors file and refuses whatever the format does not allow. Written by hand over
/// <see cref="Utf8JsonReader"/> because a document model would drop duplicate keys silently.
/// </summary>
internal ref struct SafetensorsHeader
{
    private readonly string _path;
    private readonly long _dataLength;
    private Utf8JsonReader _json;

    private SafetensorsHeader(string path, ReadOnlySpan<byte> header, long dataLength)
    {
        _path = path;
        _dataLength = dataLength;
        _json = new Utf8JsonReader(header, new JsonReaderOptions { MaxDepth = 8 });
        Tensors = [];
        Metadata = [];
    }

    /// <summary>Every tensor by name, in the header's order.</summary>
    public Dictionary<string, SafetensorsEntry> Tensors { get; }

    /// <summary>The strings under <c>__metadata__</c>.</summary>
    public Dictionary<string, string> Metadata { get; }

    /// <param name="path">File, for messages.</param>
    /// <param name="header">The header's bytes.</param>
    /// <param name="dataLength">Bytes that follow the header.</param>
    /// <exception cref="CheckpointException">The header breaks a rule of the format.</exception>
    public static SafetensorsHeader Read(string path, ReadOnlySpan<byte> header, long dataLength)
    {
        if (!Utf8.IsValid(header)) throw Refusal.Of(path, "the header is not UTF-8");
        SafetensorsHeader result = new(path, header, dataLength);
        try
        {
            result.ReadRoot();
        }
        catch (JsonException cause)
        {
            throw Refusal.Of(path, $"the header is not valid JSON (near its byte {result._json.BytesConsumed})", cause);
        }
        result.CheckCoverage();
        return result;
    }

    private void ReadRoot()
    {
        if (!_json.Read() || _json.TokenType != JsonTokenType.StartObject) throw Refusal.Of(_path, "the header is not a JSON object");
        bool hasMetadata = false;
        while (NextProperty("the header") is { } name)
        {
            if (name == SafetensorsFormat.MetadataKey)
            {
                if (hasMetadata) throw Refusal.Of(_path, "the header has __metadata__ twice");
                hasMetadata = true;
                ReadMetadata();
                continue;
            }
            if (name.Length == 0) throw Refusal.Of(_path, "a tensor has an empty name");
            SafetensorsEntry entry = ReadTensor(name);
            if (!Tensors.TryAdd(name, entry)) throw Refusal.Of(_path, $"tensor {Refusal.Quote(name)} is there twice");
        }
        _json.Read(); // anything but white space after the object is refused here
    }

    private void ReadMetadata()
    {
        _json.Read();
        if (_json.TokenType != JsonTokenType.StartObject) throw Refusal.Of(_path, "__metadata__ is not an object");
        while (NextProperty("__metadata__") is { } key)
        {
            _json.Read();
            if (_json.TokenType != JsonTokenType.String) throw Refusal.Of(_path, $"__metadata__ {Refusal.Quote(key)} is not a string");
            if (!Metadata.TryAdd(key, Text("__metadata__"))) throw Refusal.Of(_path, $"__metadata__ has {Refusal.Quote(key)} twice");
        }
    }

    private SafetensorsEntry ReadTensor(string name)
    {
        string tensor = $"tensor {Refusal.Quote(name)}";
        _json.Read();
        if (_json.TokenType != JsonTokenType.StartObject) throw Refusal.Of(_path, $"{tensor} is not described by an object");
        DType? dtype = null;
        List<long>? shape = null, offsets = null;
        while (NextProperty(tensor) is { } field)
        {
            bool twice = field switch
            {
                "dtype" => dtype is not null,
                "shape" => shape is not null,
                "data_offsets" => offsets is not null,
                _ => throw Refusal.Of(_path, $"{tensor} has an unknown field {Refusal.Quote(field)}"),
            };
            if (twice) throw Refusal.Of(_path, $"{tensor} has {field} twice");
            if (field == "dtype") dtype = ReadDType(tensor);
            else if (field == "shape") shape = ReadIntegers(tensor, field, TensorShape.MaxRank);
            else offsets = ReadIntegers(tensor, field, 2);
        }
        string? missing = dtype is null ? "dtype" : shape is null ? "shape" : offsets is null ? "data_offsets" : null;
        if (missing is not null) throw Refusal.Of(_path, $"{tensor} has no {missing}");
        return Check(tensor, new TensorInfo(name, dtype!.Value, [.. shape!]), offsets!);
    }

    private readonly SafetensorsEntry Check(string tensor, TensorInfo info, List<long> offsets)
    {
        if (!TensorShape.TryByteLength(info.DType, info.Shape, out long bytes))
        {
            throw Refusal.Of(_path, $"{tensor} has the shape {TensorShape.Text(info.Shape)}, whose size does not fit 63 bits");
        }
        if (offsets.Count != 2) throw Refusal.Of(_path, $"{tensor}: data_offsets is not a pair [begin, end]");
        (long begin, long end) = (offsets[0], offsets[1]);
        if (begin > end) throw Refusal.Of(_path, $"{tensor}: data_offsets [{begin}, {end}] end before they begin");
        if (end > _dataLength)
        {
            throw Refusal.Of(_path, $"{tensor}: data_offsets [{begin}, {end}] reach beyond the {_dataLength} bytes of data: truncated?");
        }
        if (end - begin != bytes)
        {
            string type = $"{info.DType} {TensorShape.Text(info.Shape)}";
            throw Refusal.Of(_path, $"{tensor}: {type} takes {bytes} bytes, data_offsets [{begin}, {end}] hold {end - begin}");
        }
        return new SafetensorsEntry(info, begin, end);
    }

    // Tensors sorted by place must tile the data: each begins where the one before ends.
    private readonly void CheckCoverage()
    {
        SafetensorsEntry[] sorted = [.. Tensors.Values];
        Array.Sort(sorted, static (a, b) => a.Begin != b.Begin ? a.Begin.CompareTo(b.Begin) : a.End.CompareTo(b.End));
        long end = 0;
        string before = "";
        foreach (SafetensorsEntry entry in sorted)
        {
            string tensor = $"tensor {Refusal.Quote(entry.Info.Name)}";
            if (entry.Begin < end) throw Refusal.Of(_path, $"{tensor} overlaps tensor {Refusal.Quote(before)}");
            if (entry.Begin > end) throw Refusal.Of(_path, $"{entry.Begin - end} bytes before {tensor} belong to no tensor");
            (end, before) = (entry.End, entry.Info.Name);
        }
        if (end != _dataLength) throw Refusal.Of(_path, $"{_dataLength - end} bytes at the end belong to no tensor");
    }

    private DType ReadDType(string tensor)
    {
        _json.Read();
        if (_json.TokenType != JsonTokenType.String) throw Refusal.Of(_path, $"{tensor}: dtype is not a string");
        string text = Text(tensor);
        return SafetensorsFormat.TryParse(text, out DType dtype)
            ? dtype
            : throw Refusal.Of(_path, $"{tensor} has dtype {Refusal.Quote(text)}, which is not supported");
    }

    private List<long> ReadIntegers(string tensor, string field, int most)
    {
        _json.Read();
        if (_json.TokenType != JsonTokenType.StartArray) throw Refusal.Of(_path, $"{tensor}: {field} is not an array");
        List<long> values = [];
        while (_json.Read() && _json.TokenType != JsonTokenType.EndArray)
        {
            if (_json.TokenType != JsonTokenType.Number || !_json.TryGetInt64(out long value) || value < 0)
            {
                throw Refusal.Of(_path, $"{tensor}: {field} holds something else than integers from 0 to 2^63 - 1");
            }
            if (values.Count == most) throw Refusal.Of(_path, $"{tensor}: {field} has more than {most} numbers");
            values.Add(value);
        }
        return values;
    }

    private string? NextProperty(string where)
    {
        _json.Read();
        return _json.TokenType == JsonTokenType.EndObject ? null : Text(where);
    }

    private readonly string Text(string where)
    {
        try
        {
            return _json.GetString()!;
        }
        catch (InvalidOperationException cause)
        {
            throw Refusal.Of(_path, $"{where} holds a string with half a surrogate pair", cause);
        }
    }
}
