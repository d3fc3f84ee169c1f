using System.Text.Json;

namespace LlavaSp.Checkpoints;

/// <summary>
/// Tensors in several files that an index (<c>*.safetensors.index.json</c>, <c>*.bin.index.json</c>) lists; all files lie beside the index.
/// The index and the files have to agree tensor by tensor.
/// </summary>
public sealed class ShardedTensors : ITensorSource
{
    private readonly string _path;
    private readonly Dictionary<string, ITensorSource> _shards = [];
    private readonly Dictionary<string, ITensorSource> _owners = [];
    private bool _disposed;

    private ShardedTensors(string path) => _path = path;

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, TensorInfo> Tensors { get; private set; } = new Dictionary<string, TensorInfo>();

    /// <summary>Reads the index and opens every file that it names.</summary>
    /// <param name="indexPath">Path of the index.</param>
    /// <exception cref="CheckpointException">The index is damaged, a file or a tensor is missing, or the two contradict each
    /// other.</exception>
    public static ShardedTensors Open(string indexPath)
    {
        Dictionary<string, string> weightMap = ShardIndex.Read(indexPath);
        ShardedTensors result = new(indexPath);
        try
        {
            result.OpenShards(weightMap);
            return result;
        }
        catch
        {
            result.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public string FileOf(string name) => Find(name).FileOf(name);

    /// <inheritdoc/>
    public ReadOnlySpan<byte> GetBytes(string name) => Find(name).GetBytes(name);

    /// <inheritdoc/>
    public void Evict(string name) => Find(name).Evict(name);

    /// <inheritdoc/>
    public void Dispose()
    {
        _disposed = true;
        foreach (ITensorSource shard in _shards.Values) shard.Dispose();
    }

    private ITensorSource Find(string name)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        return _owners.TryGetValue(name, out ITensorSource? shard) ? shard : throw Refusal.Of(_path, $"there is no tensor {Refusal.Quote(name)}");
    }

    private void OpenShards(Dictionary<string, string> weightMap)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(_path))!;
        string[] files = [.. weightMap.Values.Distinct()];
        foreach (string missing in files.Where(file => !File.Exists(Path.Combine(folder, file))))
        {
            throw Refusal.Of(_path, $"the file {Refusal.Quote(missing)} that it lists is missing: download it into the same folder");
        }
        foreach (string file in files) _shards.Add(file, TensorFolder.OpenFile(Path.Combine(folder, file)));

        Dictionary<string, TensorInfo> tensors = [];
        foreach ((string name, string file) in weightMap)
        {
            if (!_shards[file].Tensors.TryGetValue(name, out TensorInfo? info))
            {
                throw Refusal.Of(_path, $"tensor {Refusal.Quote(name)} is not in {Refusal.Quote(file)}, where the index says it is");
            }
            tensors.Add(name, info);
            _owners.Add(name, _shards[file]);
        }
        foreach ((string file, ITensorSource shard) in _shards) CheckListed(weightMap, file, shard);
        Tensors = tensors;
    }

    private void CheckListed(Dictionary<string, string> weightMap, string file, ITensorSource shard)
    {
        string? twice = shard.Tensors.Keys.FirstOrDefault(name => weightMap.TryGetValue(name, out string? listed) && listed != file);
        if (twice is not null)
        {
            string other = weightMap[twice];
            throw Refusal.Of(_path, $"tensor {Refusal.Quote(twice)} is in both {Refusal.Quote(other)} and {Refusal.Quote(file)}");
        }
        string[] unlisted = [.. shard.Tensors.Keys.Where(name => !weightMap.ContainsKey(name))];
        if (unlisted.Length == 0) return;
        string names = string.Join(", ", unlisted.Take(3).Select(Refusal.Quote)) + (unlisted.Length > 3 ? ", …" : "");
        throw Refusal.Of(_path, $"does not list {unlisted.Length} of the tensors in {Refusal.Quote(file)}: {names}");
    }
}

/// <summary>Reads the <c>weight_map</c> of an index file by hand, so that duplicate keys are seen.</summary>
internal static class ShardIndex
{
    private const int MaxLength = 100_000_000;

    /// <summary>File by tensor name, in the index's order.</summary>
    public static Dictionary<string, string> Read(string path)
    {
        using MappedFile file = MappedFile.Open(path);
        if (file.Length > MaxLength) throw Refusal.Of(path, $"has {file.Length} bytes, more than {MaxLength}");
        Utf8JsonReader json = new(file.Slice(0, file.Length));
        try
        {
            return ReadRoot(path, ref json) ?? throw Refusal.Of(path, "has no weight_map");
        }
        catch (JsonException cause)
        {
            throw Refusal.Of(path, $"is not valid JSON (near byte {json.BytesConsumed})", cause);
        }
        catch (InvalidOperationException cause)
        {
            throw Refusal.Of(path, $"holds a string that is not valid Unicode (near byte {json.BytesConsumed})", cause);
        }
    }

    private static Dictionary<string, string>? ReadRoot(string path, ref Utf8JsonReader json)
    {
        Dictionary<string, string>? weightMap = null;
        json.Read();
        if (json.TokenType != JsonTokenType.StartObject) throw Refusal.Of(path, "is not a JSON object");
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            bool isMap = json.ValueTextEquals("weight_map"u8);
            json.Read();
            if (!isMap) json.Skip();
            else if (weightMap is not null) throw Refusal.Of(path, "has weight_map twice");
            else weightMap = ReadMap(path, ref json);
        }
        json.Read(); // anything but white space after the object is refused here
        return weightMap;
    }

    private static Dictionary<string, string> ReadMap(string path, ref Utf8JsonReader json)
    {
        Dictionary<string, string> map = [];
        if (json.TokenType != JsonTokenType.StartObject) throw Refusal.Of(path, "weight_map is not an object");
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            string name = json.GetString()!;
            json.Read();
            if (json.TokenType != JsonTokenType.String)
            {
                throw Refusal.Of(path, $"weight_map: {Refusal.Quote(name)} is not given a file name");
            }
            string file = json.GetString()!;
            if (!IsPlainName(file))
            {
                throw Refusal.Of(path, $"weight_map: {Refusal.Quote(name)} is in {Refusal.Quote(file)}, which is not a plain file name");
            }
            if (!map.TryAdd(name, file)) throw Refusal.Of(path, $"weight_map has {Refusal.Quote(name)} twice");
        }
        return map;
    }

    // No folder, drive or parent: an index must not reach outside its own folder.
    private static bool IsPlainName(string name) =>
        name is not ("" or "." or "..") && !name.AsSpan().ContainsAny('/', '\\', ':') && !name.Any(char.IsControl);
}
