using System.IO.Enumeration;
using System.Runtime.InteropServices;
using LlavaSp.Backends;
using LlavaSp.Checkpoints;

namespace LlavaSp.Generation;

/// <summary>Collects traced tensors and writes them as one safetensors file: float32, ids as int64.</summary>
/// <param name="pattern">Only names that match are kept (<c>*</c> and <c>?</c>); null keeps all.</param>
public sealed class TraceFile(string? pattern = null) : ITraceSink
{
    private readonly List<(TensorInfo Info, byte[] Bytes)> _tensors = [];

    /// <summary>Tensors collected so far.</summary>
    public IReadOnlyList<TensorInfo> Tensors => [.. _tensors.Select(tensor => tensor.Info)];

    /// <inheritdoc/>
    public bool Wants(string name) => pattern is null || FileSystemName.MatchesSimpleExpression(pattern, name, ignoreCase: false);

    /// <inheritdoc/>
    public void Add(string name, ReadOnlySpan<float> values, params ReadOnlySpan<long> shape) =>
        Add(name, DType.F32, MemoryMarshal.AsBytes(values).ToArray(), shape.ToArray());

    /// <summary>Adds ids [n].</summary>
    public void AddIds(string name, IReadOnlyList<int> ids)
    {
        long[] values = [.. ids.Select(id => (long)id)];
        if (Wants(name)) Add(name, DType.I64, MemoryMarshal.AsBytes(values.AsSpan()).ToArray(), [values.Length]);
    }

    /// <summary>The same sink with a prefix before every name.</summary>
    public ITraceSink WithPrefix(string prefix) => new Prefixed(this, prefix);

    /// <summary>Writes the file; nothing is left behind when that fails.</summary>
    /// <param name="path">File to write; an existing one is replaced.</param>
    /// <param name="cancellationToken">Stops between two tensors.</param>
    /// <exception cref="LlavaSpException">Nothing was collected, or the file cannot be written.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public void Save(string path, CancellationToken cancellationToken = default)
    {
        if (_tensors.Count == 0) throw new LlavaSpException($"no tensor matches '{pattern}': leave out --only to see all names");
        using SafetensorsWriter writer = SafetensorsWriter.Create(path, Tensors);
        foreach ((TensorInfo info, byte[] bytes) in _tensors)
        {
            cancellationToken.ThrowIfCancellationRequested();
            writer.Begin(info.Name);
            writer.Write(bytes);
        }

        writer.Complete();
    }

    private void Add(string name, DType dtype, byte[] bytes, long[] shape) => _tensors.Add((new TensorInfo(name, dtype, shape), bytes));

    private sealed class Prefixed(TraceFile inner, string prefix) : ITraceSink
    {
        public bool Wants(string name) => inner.Wants(prefix + name);

        public void Add(string name, ReadOnlySpan<float> values, params ReadOnlySpan<long> shape) => inner.Add(prefix + name, values, shape);
    }
}
