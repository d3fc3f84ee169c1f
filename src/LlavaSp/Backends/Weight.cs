using LlavaSp.Quantization;

namespace LlavaSp.Backends;

/// <summary>A weight matrix in the order in which its backend reads it. Opaque to the graph.</summary>
public abstract class Weight : IDisposable
{
    /// <summary>Output features.</summary>
    public abstract long Rows { get; }

    /// <summary>Input features.</summary>
    public abstract long Columns { get; }

    /// <summary>Storage of the elements.</summary>
    public abstract WeightFormat Format { get; }

    /// <summary>Bytes that the backend holds for it.</summary>
    public abstract long ByteLength { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees the backend's memory.</summary>
    protected virtual void Dispose(bool disposing) { }
}

/// <summary>
/// A weight matrix on its way from a checkpoint to a backend: rows are asked for in blocks, so that nobody holds a float32 copy of the whole.
/// </summary>
public abstract class WeightSource
{
    /// <summary>Name for messages.</summary>
    public abstract string Name { get; }

    /// <summary>Output features.</summary>
    public abstract long Rows { get; }

    /// <summary>Input features.</summary>
    public abstract long Columns { get; }

    /// <summary>Writes rows <paramref name="first"/> to first + count - 1 as float32, row-major, [count, Columns]. Thread-safe.</summary>
    public abstract void ReadRows(long first, int count, Span<float> destination);

    /// <summary>Format in which the checkpoint holds exactly these rows; null when they are computed from others.</summary>
    public virtual WeightFormat? StoredFormat => null;

    /// <summary>
    /// Copies rows of a matrix stored in <see cref="StoredFormat"/> as they are: [count] times <see cref="WeightFormat.StoredRowBytes"/>; int4 has the even
    /// column in the low nibble, plus 8. Integer formats have scales [count, groups], the others none. Thread-safe.
    /// </summary>
    public virtual void ReadStoredRows(long first, int count, Span<byte> values, Span<Half> scales) =>
        throw new InvalidOperationException($"{Name} is not stored in one format");

    /// <summary>Says that the rows will not be read again soon.</summary>
    public virtual void Evict() { }
}
