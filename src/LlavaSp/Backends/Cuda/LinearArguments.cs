using System.Runtime.InteropServices;

namespace LlavaSp.Backends.Cuda;

/// <summary>Parameters of the streaming kernels (kernels/linear_gemv.cu).</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct GemvArguments
{
    public ulong Packed, Scales, X, Norm, Bias, Residual, Y;
    public int XElement, XStride, XActivation, ResidualElement, ResidualStride, YElement, YStride;
    public int M, N, K, Group, Activation, Gated, Chunk;
    public float Epsilon;
}

/// <summary>Parameters of the tiled kernels (kernels/linear_gemm.cu).</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct GemmArguments
{
    public ulong Packed, Scales, X, Bias, Residual, Y;
    public int XStride, ResidualElement, ResidualStride, YElement, YStride;
    public int M, N, K, Group, Activation, Gated;
}

/// <summary>Parameters of quantize_rows_f32 and quantize_rows_f16.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct QuantizeArguments
{
    public ulong Quantized, Scales, X;
    public int Rows, Columns, XStride, Padded, Group, ScalesStride;
}

/// <summary>Parameters of rms_norm_quantize_f32 and rms_norm_quantize_f16 (kernels/norm_quantize.cu).</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct NormQuantizeArguments
{
    public ulong Quantized, Scales, X, Norm;
    public int Rows, Columns, XStride, Padded, Group, ScalesStride;
    public float Epsilon;
}

/// <summary>Parameters of the kernels with 8-bit activations (kernels/linear_int8.cu).</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct Int8Arguments
{
    public ulong Packed, Scales, X, TokenScales, Bias, Residual, Y;
    public int TokenScalesStride, ResidualElement, ResidualStride, YElement, YStride;
    public int M, N, K, Group, Activation, Gated;
}
