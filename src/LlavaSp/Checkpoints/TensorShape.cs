namespace LlavaSp.Checkpoints;

/// <summary>Checked arithmetic on shapes that come from files.</summary>
internal static class TensorShape
{
    /// <summary>More dimensions than this are refused; PyTorch has the same limit.</summary>
    public const int MaxRank = 64;

    /// <summary>Largest tensor that one span can show.</summary>
    public static int MaxSpan => Array.MaxLength;

    /// <summary>Bytes of a contiguous tensor; false when a size is negative or the product does not fit.</summary>
    public static bool TryByteLength(DType dtype, ReadOnlySpan<long> shape, out long bytes)
    {
        bytes = 0;
        long elements = 1;
        foreach (long size in shape)
        {
            if (size < 0 || Math.BigMul(elements, size) > long.MaxValue) return false;
            elements *= size;
        }
        if (Math.BigMul(elements, (long)dtype.ByteSize()) > long.MaxValue) return false;
        bytes = elements * dtype.ByteSize();
        return true;
    }

    /// <summary>The shape for messages, shortened.</summary>
    public static string Text(ReadOnlySpan<long> shape) =>
        shape.Length <= 8 ? $"[{string.Join(", ", shape.ToArray())}]" : $"[{string.Join(", ", shape[..8].ToArray())}, …]";
}
