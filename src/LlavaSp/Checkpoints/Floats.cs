using System.Runtime.InteropServices;
using LlavaSp.Quantization;

namespace LlavaSp.Checkpoints;

/// <summary>Stored elements as float32.</summary>
internal static class Floats
{
    /// <summary>A whole (small) tensor.</summary>
    public static float[] Read(ITensorSource source, TensorInfo info)
    {
        var values = new float[checked((int)info.Elements)];
        Convert(source.GetBytes(info.Name), info.DType, values);
        return values;
    }

    /// <summary>Converts little-endian elements; exact for every type narrower than float32.</summary>
    public static void Convert(ReadOnlySpan<byte> bytes, DType dtype, Span<float> destination)
    {
        switch (dtype)
        {
            case DType.F32:
                MemoryMarshal.Cast<byte, float>(bytes).CopyTo(destination);
                break;
            case DType.F16:
                HalfFloats.Widen(MemoryMarshal.Cast<byte, ushort>(bytes), destination);
                break;
            case DType.BF16:
                Bf16.Widen(MemoryMarshal.Cast<byte, ushort>(bytes), destination);
                break;
            case DType.F64:
                ReadOnlySpan<double> doubles = MemoryMarshal.Cast<byte, double>(bytes);
                for (int i = 0; i < doubles.Length; i++) destination[i] = (float)doubles[i];
                break;
            default:
                throw new CheckpointException($"a tensor of type {dtype} stands where floating-point weights are expected");
        }
    }

    /// <summary>Whether <see cref="Convert"/> takes the type.</summary>
    public static bool CanConvert(DType dtype) => dtype is DType.F32 or DType.F16 or DType.BF16 or DType.F64;
}
