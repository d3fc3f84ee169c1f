using System.Collections.Concurrent;
using System.Globalization;
using System.Text;

namespace LlavaSp.Checkpoints;

/// <summary>
/// One file of torch.save in its zip format (PyTorch 1.6 and later): the names and shapes are a pickle, read by a restricted reader that
/// executes nothing; the weights lie uncompressed in the file and are memory-mapped. Views that are not row-major are copied when asked
/// for.
/// </summary>
public sealed class PyTorchFile : ITensorSource
{
    private const int NewestVersion = 10;
    private const int MaxWrappers = 4;
    private static readonly string[] s_wrappers = ["state_dict", "model"];

    private readonly MappedFile _file;
    private readonly Dictionary<string, TorchView> _views = [];
    private readonly ConcurrentDictionary<string, byte[]> _copies = [];

    private PyTorchFile(MappedFile file)
    {
        _file = file;
        if (!StoredZip.IsZip(file)) throw Refusal.Of(file.Path, WhatElse(file));
        Dictionary<string, StoredEntry> entries = StoredZip.Read(file);
        string root = FindRoot(entries);
        CheckFormat(entries, root);
        StoredEntry pickle = entries[root + "data.pkl"];
        if (pickle.Length > Unpickler.MaxLength)
        {
            throw Refusal.Of(file.Path, $"data.pkl has {pickle.Length} bytes, more than {Unpickler.MaxLength}");
        }
        AddTensors(Unpickler.Load(file.Path, file.Slice(pickle.Offset, pickle.Length)), entries, root);
        Tensors = _views.ToDictionary(view => view.Key, view => view.Value.Info);
    }

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, TensorInfo> Tensors { get; }

    /// <summary>Maps the file, reads its pickle and checks every tensor against its storage.</summary>
    /// <exception cref="CheckpointException">The file is missing, truncated, damaged, in the format before PyTorch 1.6, or asks for more
    /// than data.</exception>
    public static PyTorchFile Open(string path)
    {
        MappedFile file = MappedFile.Open(path);
        try
        {
            return new PyTorchFile(file);
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
        TorchView view = Find(name);
        // Strides can make either larger than the other.
        long length = Math.Max(view.Span, view.Info.ByteLength);
        if (length > TensorShape.MaxSpan)
        {
            throw Refusal.Of(_file.Path, $"tensor {Refusal.Quote(name)} takes {length} bytes, more than 2 GiB");
        }
        ReadOnlySpan<byte> bytes = _file.Slice(view.Start, view.Span);
        if (view.IsContiguous || bytes.IsEmpty) return bytes;
        return _copies.TryGetValue(name, out byte[]? copy) ? copy : _copies.GetOrAdd(name, view.ToRowMajor(bytes));
    }

    /// <inheritdoc/>
    public void Evict(string name)
    {
        TorchView view = Find(name);
        _file.Evict(view.Start, view.Span);
        _copies.TryRemove(name, out _);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _file.Dispose();
        _copies.Clear();
    }

    private TorchView Find(string name) =>
        _views.TryGetValue(name, out TorchView? view) ? view : throw Refusal.Of(_file.Path, $"there is no tensor {Refusal.Quote(name)}");

    private static string WhatElse(MappedFile file)
    {
        // A pickle of protocol 2 at the very start is how torch.save wrote before 1.6.
        bool legacy = file.Length > 2 && file.Slice(0, 2).SequenceEqual([(byte)0x80, (byte)2]);
        return legacy
            ? "is in the format before PyTorch 1.6: in Python, "
              + "torch.save(torch.load(file, map_location='cpu', weights_only=True), file) writes the present one"
            : "is not a PyTorch checkpoint: a zip file was expected";
    }

    // The entries lie in one folder, which is named after the file that was saved.
    private string FindRoot(Dictionary<string, StoredEntry> entries)
    {
        IEnumerable<string> pickles = entries.Keys.Where(name => name.EndsWith("/data.pkl", StringComparison.Ordinal));
        string[] roots = [.. pickles.Select(name => name[..^"data.pkl".Length])];
        return roots switch
        {
            [var root] => root,
            [] => throw Refusal.Of(_file.Path, "is a zip file without data.pkl: not a PyTorch checkpoint"),
            _ => throw Refusal.Of(_file.Path, $"has more than one data.pkl: in {Refusal.Quote(roots[0])} and {Refusal.Quote(roots[1])}"),
        };
    }

    private void CheckFormat(Dictionary<string, StoredEntry> entries, string root)
    {
        if (ReadText(entries, root + "byteorder") is { } order && order != "little")
        {
            throw Refusal.Of(_file.Path, $"has the byte order {Refusal.Quote(order)}: only 'little' is supported");
        }
        if (ReadText(entries, root + "version") is { } version
            && !(int.TryParse(version, NumberStyles.None, CultureInfo.InvariantCulture, out int number)
                && number is >= 1 and <= NewestVersion))
        {
            throw Refusal.Of(_file.Path, $"has the format version {Refusal.Quote(version)}: 1 to {NewestVersion} are supported");
        }
    }

    private string? ReadText(Dictionary<string, StoredEntry> entries, string name)
    {
        if (!entries.TryGetValue(name, out StoredEntry entry)) return null;
        if (entry.Length > 64) throw Refusal.Of(_file.Path, $"zip entry {Refusal.Quote(name)} has {entry.Length} bytes, more than 64");
        return Encoding.Latin1.GetString(_file.Slice(entry.Offset, entry.Length)).Trim();
    }

    private void AddTensors(object? value, Dictionary<string, StoredEntry> entries, string root)
    {
        PickleContainer dictionary = Unwrap(value);
        for (int i = 0; i < dictionary.Items.Count; i += 2)
        {
            if (dictionary.Items[i + 1] is not TorchTensor tensor) continue;
            if (dictionary.Items[i] is not string { Length: > 0 } name)
            {
                throw Refusal.Of(_file.Path, "a tensor has no name: its key is empty or not text");
            }
            TorchView view = Check(name, tensor, entries, root);
            if (!_views.TryAdd(name, view)) throw Refusal.Of(_file.Path, $"tensor {Refusal.Quote(name)} is there twice");
        }
        if (_views.Count == 0 && dictionary.Items.Count > 0)
        {
            throw Refusal.Of(_file.Path, "its dictionary holds no tensors: not a state dict");
        }
    }

    private PickleContainer Unwrap(object? value)
    {
        for (int depth = 0; depth <= MaxWrappers; depth++)
        {
            if (value is not PickleContainer { Kind: ContainerKind.Dict } dictionary)
            {
                throw Refusal.Of(_file.Path, "holds something else than a dictionary of tensors");
            }
            IEnumerable<PickleContainer> inner = s_wrappers.Select(key => dictionary[key]).OfType<PickleContainer>();
            value = inner.FirstOrDefault(container => container.Kind == ContainerKind.Dict);
            if (value is null) return dictionary;
        }
        throw Refusal.Of(_file.Path, $"wraps its state dict more than {MaxWrappers} times");
    }

    private TorchView Check(string name, TorchTensor tensor, Dictionary<string, StoredEntry> entries, string root)
    {
        string where = $"tensor {Refusal.Quote(name)} {TensorShape.Text(tensor.Shape)}";
        if (!entries.TryGetValue($"{root}data/{tensor.Storage.Key}", out StoredEntry storage))
        {
            throw Refusal.Of(_file.Path, $"{where}: its storage 'data/{Refusal.OneLine(tensor.Storage.Key)}' is not in the file");
        }
        return TorchView.TryCreate(name, tensor, storage, out string problem) ?? throw Refusal.Of(_file.Path, $"{where}: {problem}");
    }
}
