using System.Runtime.InteropServices;

namespace LlavaSp.Checkpoints;

/// <summary>
/// Tensors of random halves, about N(0, 0.02), for measuring without a checkpoint. Every tensor is the beginning of one shared buffer, as large as the
/// largest tensor; its pages come into being when they are first asked for.
/// </summary>
internal sealed unsafe class SyntheticTensors : ITensorSource
{
    // A prime, so that the rows of no matrix repeat after few rows.
    private const int Period = 1_000_003;

    private const double Deviation = 0.02;

    private readonly Dictionary<string, TensorInfo> _tensors;
    private readonly Lock _gate = new();
    private readonly int _seed;
    private readonly long _capacity;
    private byte* _buffer;
    private long _filled;
    private bool _disposed;

    /// <summary>Tensors of the given names and shapes.</summary>
    /// <param name="shapes">Name and shape of every tensor.</param>
    /// <param name="seed">The same seed gives the same numbers.</param>
    /// <exception cref="LlavaSpException">A tensor has more than 2 GiB.</exception>
    public SyntheticTensors(IEnumerable<(string Name, long[] Shape)> shapes, int seed)
    {
        _seed = seed;
        _tensors = shapes.ToDictionary(tensor => tensor.Name, tensor => new TensorInfo(tensor.Name, DType.F16, tensor.Shape));
        _capacity = _tensors.Values.Select(info => info.ByteLength).DefaultIfEmpty().Max();
        if (_capacity > TensorShape.MaxSpan) throw new LlavaSpException($"a synthetic tensor would have {_capacity} bytes, more than 2 GiB");
    }

    ~SyntheticTensors() => Free();

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, TensorInfo> Tensors => _tensors;

    /// <inheritdoc/>
    public ReadOnlySpan<byte> GetBytes(string name)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (!_tensors.TryGetValue(name, out TensorInfo? info)) throw new CheckpointException($"there is no synthetic tensor {Refusal.Quote(name)}");
        long length = info.ByteLength;
        lock (_gate) Fill(length);
        return new ReadOnlySpan<byte>(_buffer, (int)length);
    }

    /// <inheritdoc/>
    public void Evict(string name)
    {
        // The next tensor lies in the same pages.
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        _disposed = true;
        NativeMemory.Free(_buffer);
        _buffer = null;
    }

    private void Fill(long length)
    {
        if (length <= _filled) return;
        if (_buffer is null)
        {
            try
            {
                _buffer = (byte*)NativeMemory.Alloc((nuint)_capacity);
            }
            catch (OutOfMemoryException e)
            {
                throw new LlavaSpException($"no memory for a synthetic tensor of {_capacity >> 20} MiB", e);
            }
        }

        if (_filled == 0)
        {
            _filled = Math.Min(_capacity, 2L * Period);
            Generate(new Span<Half>(_buffer, (int)(_filled / 2)), _seed);
        }

        while (_filled < length)
        {
            // Whole periods from the start continue the pattern.
            long count = Math.Min(length - _filled, _filled);
            Buffer.MemoryCopy(_buffer, _buffer + _filled, _capacity - _filled, count);
            _filled += count;
        }
    }

    private static void Generate(Span<Half> values, int seed)
    {
        var random = new Random(seed);
        for (int i = 0; i < values.Length; i++)
        {
            // Box-Muller; 1 - u is never 0.
            double radius = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble()));
            values[i] = (Half)(Deviation * radius * Math.Cos(2 * Math.PI * random.NextDouble()));
        }
    }
}
