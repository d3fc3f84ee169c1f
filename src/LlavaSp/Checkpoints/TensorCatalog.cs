using LlavaSp.Backends;
using LlavaSp.Quantization;

namespace LlavaSp.Checkpoints;

/// <summary>Where one canonical tensor lies.</summary>
/// <param name="Name">Canonical name.</param>
/// <param name="Source">The files that hold it.</param>
/// <param name="Info">Name, type and shape there.</param>
/// <param name="Origin">Folder or file, for messages.</param>
internal sealed record CatalogEntry(string Name, ITensorSource Source, TensorInfo Info, string Origin)
{
    /// <summary>File, or folder where it is not known.</summary>
    public string File => Path.Combine(Origin, Source.FileOf(Info.Name));

    /// <summary>File and tensor, for messages: one line whatever the file holds.</summary>
    public string Place => $"{Refusal.OneLine(File)}: {Refusal.Quote(Info.Name)}";
}

/// <summary>
/// All tensors of a model under their canonical names, from several files, with LoRA updates pending; remembers which were asked for.
/// </summary>
internal sealed class TensorCatalog : IDisposable
{
    /// <summary>Suffix of the tensor that holds the group scales of an integer matrix.</summary>
    public const string ScaleSuffix = "_scale";

    private readonly SortedDictionary<string, CatalogEntry> _entries = new(StringComparer.Ordinal);
    private readonly List<ITensorSource> _sources = [];
    private readonly HashSet<string> _used = [];
    private readonly Dictionary<string, LoraDelta> _lora = [];

    /// <summary>Tensors by canonical name.</summary>
    public IReadOnlyDictionary<string, CatalogEntry> Entries => _entries;

    /// <summary>Names of matrices that a LoRA adapter updates.</summary>
    public IReadOnlyCollection<string> LoraTargets => _lora.Keys;

    /// <summary>Group size of integer matrices, from the config; 0 when there are none.</summary>
    public int GroupSize { get; set; }

    /// <summary>Tensors that nobody asked for.</summary>
    public IEnumerable<string> Unused => _entries.Keys.Where(name => !_used.Contains(name));

    /// <summary>
    /// Takes over a source and adds its tensors, replacing earlier ones of the same name (trained parts replace those of the base model).
    /// </summary>
    public void Add(ITensorSource source, string origin, Func<string, bool> filter)
    {
        _sources.Add(source);
        var added = new Dictionary<string, string>();
        foreach (TensorInfo info in source.Tensors.Values)
        {
            string name = NameMap.Canonical(info.Name);
            if (NameMap.IsDerived(name) || NameMap.IsForeign(name) || !filter(name)) continue;
            if (!added.TryAdd(name, info.Name))
                throw new CheckpointException($"{origin}: '{added[name]}' and '{info.Name}' are the same tensor '{name}' under two names");
            _entries[name] = new CatalogEntry(name, source, info, origin);
        }
    }

    /// <summary>Adds LoRA updates; every target must exist and fit.</summary>
    public void AddLora(IReadOnlyDictionary<string, LoraDelta> deltas, string origin)
    {
        foreach ((string name, LoraDelta delta) in deltas)
        {
            if (!_entries.TryGetValue(name, out CatalogEntry? target))
                throw new CheckpointException($"{origin}: updates '{name}', which the base model does not have: is this the right --model-base?");
            long rows = delta.B.Length / delta.Rank;
            if (target.Info.Shape.Length != 2 || target.Info.Shape[0] != rows || target.Info.Shape[1] != delta.Columns)
                throw new CheckpointException(
                    $"{origin}: the update of '{name}' is [{rows}, {delta.Columns}], the base model has {target.Info.ShapeText}: is this the right --model-base?");
            if (!Floats.CanConvert(target.Info.DType))
                throw new CheckpointException($"{origin}: the base model's '{name}' is stored as {target.Info.DType}, LoRA needs an unquantised base");
            _lora[name] = delta;
        }
    }

    /// <summary>Whether the tensor is there.</summary>
    public bool Has(string name) => _entries.ContainsKey(name);

    /// <summary>The tensor, which must be there.</summary>
    public CatalogEntry Require(string name)
    {
        if (!_entries.TryGetValue(name, out CatalogEntry? entry))
            throw new CheckpointException($"{Origins()}: tensor '{name}' is missing: the checkpoint is incomplete");
        _used.Add(name);
        return entry;
    }

    /// <summary>A small float tensor of exactly this many elements.</summary>
    public float[] Vector(string name, long elements)
    {
        CatalogEntry entry = Require(name);
        CheckFloat(entry);
        if (entry.Info.Elements != elements) throw WrongShape(entry, $"{elements} elements");
        return Floats.Read(entry.Source, entry.Info);
    }

    /// <summary>A matrix [rows, columns]; a higher-rank tensor counts as [first dimension, the rest].</summary>
    public WeightSource Matrix(string name, long rows, long columns)
    {
        CatalogEntry entry = Require(name);
        if (entry.Info.DType is DType.I8 or DType.U8) return IntegerMatrix(entry, rows, columns);
        CheckFloat(entry);
        if (entry.Info.Shape.Length < 2 || entry.Info.Shape[0] != rows || entry.Info.Elements != rows * columns)
            throw WrongShape(entry, $"[{rows}, {columns}]");
        return new StoredMatrix(entry, rows, columns, _lora.GetValueOrDefault(name));
    }

    /// <summary>
    /// A k x k convolution [rows, channels, k, k] as a matrix [rows, k*k*channels], position-major. An integer one is stored in that order already.
    /// </summary>
    public WeightSource Kernel(string name, long rows, int k, int channels)
    {
        CatalogEntry entry = Require(name);
        if (entry.Info.DType is DType.I8 or DType.U8) return IntegerMatrix(entry, rows, (long)k * k * channels);
        CheckFloat(entry);
        if (!entry.Info.Shape.SequenceEqual([rows, channels, k, k])) throw WrongShape(entry, $"[{rows}, {channels}, {k}, {k}]");
        return new KernelMatrix(new StoredMatrix(entry, rows, (long)k * k * channels, null), k * k, channels);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (ITensorSource source in _sources) source.Dispose();
    }

    private IntegerMatrix IntegerMatrix(CatalogEntry entry, long rows, long columns)
    {
        if (GroupSize == 0)
            throw new CheckpointException($"{entry.Place} is stored as integers, but config.json has no quantization_config of this runtime");
        WeightFormat format = entry.Info.DType == DType.I8 ? WeightFormat.Int8(GroupSize) : WeightFormat.Int4(GroupSize);
        long stored = format.Kind == WeightKind.Int8 ? columns : (columns + 1) / 2;
        if (!entry.Info.Shape.SequenceEqual([rows, stored])) throw WrongShape(entry, $"[{rows}, {stored}]");
        CatalogEntry scales = Require(entry.Name + ScaleSuffix);
        if (scales.Info.DType != DType.F16 || !scales.Info.Shape.SequenceEqual([rows, format.Groups(columns)]))
            throw WrongShape(scales, $"F16 [{rows}, {format.Groups(columns)}]");
        return new IntegerMatrix(entry, scales, format, rows, columns);
    }

    private static void CheckFloat(CatalogEntry entry)
    {
        if (!Floats.CanConvert(entry.Info.DType))
            throw new CheckpointException($"{entry.Place} has type {entry.Info.DType}, a floating-point type is expected");
    }

    private static CheckpointException WrongShape(CatalogEntry entry, string expected) =>
        new($"{entry.Place} is {entry.Info.DType} {entry.Info.ShapeText}, config.json asks for {expected}");

    private string Origins() => string.Join(", ", _entries.Values.Select(entry => entry.Origin).Distinct().DefaultIfEmpty("checkpoint"));
}
