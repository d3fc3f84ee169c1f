namespace LlavaSp.Checkpoints;

/// <summary>Name, element type and shape of a stored tensor (row-major).</summary>
/// <param name="Name">Name as the file has it.</param>
/// <param name="DType">Element type.</param>
/// <param name="Shape">Dimensions, outermost first; empty for a scalar.</param>
public sealed record TensorInfo(string Name, DType DType, long[] Shape)
{
    /// <summary>Number of elements.</summary>
    public long Elements => Shape.Aggregate(1L, (product, size) => checked(product * size));

    /// <summary>Number of bytes, row-major and without gaps.</summary>
    public long ByteLength => checked(Elements * DType.ByteSize());

    /// <summary>The shape as text, e.g. <c>[4096, 4096]</c>.</summary>
    public string ShapeText => $"[{string.Join(", ", Shape)}]";
}

/// <summary>A set of named tensors in files: safetensors or PyTorch, one file or many. Reading is thread-safe.</summary>
public interface ITensorSource : IDisposable
{
    /// <summary>Every tensor by name.</summary>
    IReadOnlyDictionary<string, TensorInfo> Tensors { get; }

    /// <summary>
    /// The tensor's bytes: little-endian, row-major, contiguous; valid until <see cref="Evict"/> or disposal. Memory-mapped where the file allows it.
    /// </summary>
    /// <exception cref="CheckpointException">No tensor of that name, or it is larger than 2 GiB.</exception>
    ReadOnlySpan<byte> GetBytes(string name);

    /// <summary>Name of the file that holds the tensor, without its folder; empty where the source does not know.</summary>
    string FileOf(string name) => "";

    /// <summary>Says that the tensor's pages are not needed again soon, so that loading does not keep the files in memory.</summary>
    void Evict(string name);
}
