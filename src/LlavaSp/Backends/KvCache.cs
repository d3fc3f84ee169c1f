namespace LlavaSp.Backends;

/// <summary>Element type of a key-value cache.</summary>
public enum KvFormat
{
    /// <summary>IEEE half.</summary>
    F16,

    /// <summary>float32.</summary>
    F32,

    /// <summary>Signed bytes with a float32 scale for each position and head (<see cref="Quantization.KvQuantizer"/>).</summary>
    Int8,
}

/// <summary>Sizes of a key-value cache.</summary>
/// <param name="Layers">Decoder layers.</param>
/// <param name="KvHeads">Key-value heads of a layer.</param>
/// <param name="HeadDim">Width of a head.</param>
/// <param name="Capacity">Positions that fit.</param>
/// <param name="Format">Element type.</param>
public sealed record KvCacheShape(int Layers, int KvHeads, int HeadDim, int Capacity, KvFormat Format)
{
    /// <summary>Bytes of keys and values together when full.</summary>
    public long ByteLength => 2L * Layers * KvHeads * Capacity * BytesOfHead;

    /// <summary>Bytes of the key, or the value, of one position and head.</summary>
    public int BytesOfHead => Format switch
    {
        KvFormat.F16 => sizeof(ushort) * HeadDim,
        KvFormat.F32 => sizeof(float) * HeadDim,
        KvFormat.Int8 => HeadDim + sizeof(float),
        _ => throw new InvalidOperationException($"unknown format {Format}"),
    };

    /// <summary>Refuses to copy so many positions from a cache of another shape into one of this.</summary>
    /// <exception cref="ArgumentException">More than the capacity differs, or one of them has fewer positions.</exception>
    public void RequireCopy(KvCacheShape source, int positions)
    {
        if (this with { Capacity = source.Capacity } != source) throw new ArgumentException($"{source} is not copied into {this}", nameof(source));
        if (positions < 0 || positions > Math.Min(Capacity, source.Capacity)) throw new ArgumentException($"{positions} positions of {source} into {this}", nameof(positions));
    }

    /// <summary>For backends that keep the cache in this machine's memory: refuses one that is larger than all of it, before anything is allocated.</summary>
    /// <exception cref="DeviceException">The cache is too large; the message says what fits.</exception>
    public void RequireHostMemory()
    {
        long memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        if (ByteLength <= memory) return;
        throw new DeviceException(
            $"a context of {Capacity} positions takes {ByteLength / 1e9:f0} GB of key-value cache, this machine has {memory / 1e9:f0} GB: "
            + $"ask for at most {memory / (ByteLength / Capacity)} positions");
    }
}

/// <summary>Keys (after rope) and values of one sequence, per layer, owned by a backend. Which positions hold something is the caller's business.</summary>
public abstract class KvCache(KvCacheShape shape) : IDisposable
{
    /// <summary>Sizes.</summary>
    public KvCacheShape Shape { get; } = shape;

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees the backend's memory.</summary>
    protected virtual void Dispose(bool disposing) { }
}
