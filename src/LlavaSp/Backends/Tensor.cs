namespace LlavaSp.Backends;

/// <summary>An activation [Rows, Columns], owned by a backend, float32 to the outside. Row ranges share memory with their parent.</summary>
public abstract class Tensor : IDisposable
{
    /// <summary>Number of rows (tokens, patches).</summary>
    public abstract int Rows { get; }

    /// <summary>Number of columns (features).</summary>
    public abstract int Columns { get; }

    /// <summary>A view of rows <paramref name="first"/> to first + count - 1. It need not be disposed and must not outlive this tensor.</summary>
    public abstract Tensor Slice(int first, int count);

    /// <summary>Copies all elements to <paramref name="destination"/>, row-major; waits for work in flight.</summary>
    public abstract void Read(Span<float> destination);

    /// <summary>Copies all elements from <paramref name="source"/>, row-major.</summary>
    public abstract void Write(ReadOnlySpan<float> source);

    /// <summary>A copy of all elements, row-major.</summary>
    public float[] ToArray()
    {
        var copy = new float[checked(Rows * Columns)];
        Read(copy);
        return copy;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees the backend's memory.</summary>
    protected virtual void Dispose(bool disposing) { }
}
