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

    /// <summary>Integer format in which the checkpoint holds this matrix, if it does.</summary>
    public virtual WeightFormat? StoredFormat => null;

    /// <summary>
    /// Writes rows of a matrix stored in <see cref="StoredFormat"/> as they are: integers [count, Columns] and scales [count, groups]. Thread-safe.
    /// </summary>
    public virtual void ReadIntegerRows(long first, int count, Span<sbyte> values, Span<float> scales) =>
        throw new InvalidOperationException($"{Name} is not stored as integers");

    /// <summary>Says that the rows will not be read again soon.</summary>
    public virtual void Evict() { }
}
