namespace LlavaSp.Checkpoints;

/// <summary>A tensor of a PyTorch file after every check: what it is called, and how its elements lie in the file.</summary>
/// <param name="Info">Name, type and shape.</param>
/// <param name="Start">Place of its first element in the file.</param>
/// <param name="Span">Bytes from the first to the end of the last element in the file.</param>
/// <param name="Strides">Elements from one index to the next, for each dimension.</param>
internal sealed record TorchView(TensorInfo Info, long Start, long Span, long[] Strides)
{
    /// <summary>Whether the bytes in the file are the tensor as it is wanted: row-major, without gaps.</summary>
    public bool IsContiguous { get; } = HasRowMajorStrides(Info.Shape, Strides);

    /// <summary>Checks a tensor of a pickle against the bytes of its storage; the message says what is wrong with it.</summary>
    public static TorchView? TryCreate(string name, TorchTensor tensor, StoredEntry storage, out string problem)
    {
        problem = "";
        DType dtype = tensor.Storage.DType;
        TensorInfo info = new(name, dtype, tensor.Shape);
        if (!TensorShape.TryByteLength(dtype, tensor.Shape, out long length)) problem = "the size does not fit 63 bits";
        else if (!TensorShape.TryByteLength(dtype, [tensor.Storage.Elements], out long stored) || stored > storage.Length)
        {
            problem = $"its storage should have {tensor.Storage.Elements} {dtype} elements, the file has {storage.Length} bytes of it";
        }
        else if (tensor.Shape.Length != tensor.Strides.Length)
        {
            problem = $"{tensor.Strides.Length} strides for {tensor.Shape.Length} dimensions";
        }
        else if (tensor.Offset < 0 || tensor.Strides.Any(stride => stride < 0)) problem = "an offset or a stride is negative";
        else if (length == 0) return new TorchView(info, storage.Offset, 0, tensor.Strides);
        else if (!TryReach(tensor, out long reach)) problem = $"it reaches beyond its storage of {tensor.Storage.Elements} elements";
        else if (length > stored) problem = "it repeats elements of its storage (an expanded view): save a .contiguous() copy";
        else
        {
            int size = dtype.ByteSize();
            return new TorchView(info, storage.Offset + tensor.Offset * size, (reach - tensor.Offset) * size, tensor.Strides);
        }
        return null;
    }

    /// <summary>Copies the elements into row-major order.</summary>
    /// <param name="file">The bytes from <see cref="Start"/>, <see cref="Span"/> of them.</param>
    public byte[] ToRowMajor(ReadOnlySpan<byte> file)
    {
        int size = Info.DType.ByteSize();
        byte[] result = new byte[Info.ByteLength];
        long[] index = new long[Info.Shape.Length];
        long source = 0;
        for (int target = 0; target < result.Length; target += size)
        {
            file.Slice((int)(source * size), size).CopyTo(result.AsSpan(target));
            for (int axis = index.Length - 1; axis >= 0; axis--)
            {
                source += Strides[axis];
                if (++index[axis] < Info.Shape[axis]) break;
                source -= Strides[axis] * Info.Shape[axis];
                index[axis] = 0;
            }
        }
        return result;
    }

    // The element after the last that the tensor touches.
    private static bool TryReach(TorchTensor tensor, out long reach)
    {
        Int128 last = tensor.Offset;
        for (int axis = 0; axis < tensor.Shape.Length; axis++) last += Math.BigMul(tensor.Shape[axis] - 1, tensor.Strides[axis]);
        bool inside = last < tensor.Storage.Elements;
        reach = inside ? (long)last + 1 : 0;
        return inside;
    }

    private static bool HasRowMajorStrides(long[] shape, long[] strides)
    {
        long expected = 1;
        for (int axis = shape.Length - 1; axis >= 0; axis--)
        {
            if (shape[axis] != 1 && strides[axis] != expected) return false;
            expected *= shape[axis];
        }
        return true;
    }
}
