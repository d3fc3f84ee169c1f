using LlavaSp.Quantization;

namespace LlavaSp.Backends.Cuda;

/// <summary>Matrix products: y = activation(x W^T + bias) + residual.</summary>
public sealed partial class CudaBackend
{
    private readonly Dictionary<string, Kernel<GemvArguments>> _gemv = [];
    private readonly Dictionary<string, Kernel<GemmArguments>> _gemm = [];
    private Kernel<NarrowArguments>? _narrow;

    /// <summary>RMSNorm of the rows of x as part of a product.</summary>
    /// <param name="Weight">[1, columns of x].</param>
    /// <param name="Epsilon">Added to the mean square.</param>
    internal readonly record struct InputNorm(Tensor Weight, float Epsilon);

    /// <inheritdoc/>
    public void Linear(Tensor destination, Tensor source, Weight weight, Epilogue epilogue = default) =>
        Product(Of(destination), Of(source), Of(weight), epilogue, null, gated: false, null);

    /// <summary>destination = epilogue(RMSNorm(source) W^T) for at most 8 rows: norm and product are one launch.</summary>
    internal void NormLinear(Tensor destination, Tensor source, InputNorm norm, Weight weight, Epilogue epilogue = default)
    {
        Require(source.Rows <= 8, $"the norm is part of a product of at most 8 rows, not {source.Rows}");
        Product(Of(destination), Of(source), Of(weight), epilogue, norm, gated: false, null);
    }

    /// <summary>
    /// destination [m, n] = silu(x G^T) * (x U^T) with weight [2 n, k] = [G; U], n a multiple of 16; x is RMSNorm(source) where a norm is given, for at most 8
    /// rows.
    /// </summary>
    internal void GatedLinear(Tensor destination, Tensor source, Weight gateUp, InputNorm? norm = null)
    {
        Require(destination.Columns % 16 == 0, $"{destination.Columns} columns are not whole tiles of 16");
        Require(norm is null || source.Rows <= 8, $"the norm is part of a product of at most 8 rows, not {source.Rows}");
        Product(Of(destination), Of(source), Of(gateUp), default, norm, gated: true, null);
    }

    /// <summary>As the public ones, in a form of the caller's choice: for tests and benchmarks.</summary>
    internal void Product(
        CudaTensor y, CudaTensor x, CudaWeight weight, Epilogue epilogue, InputNorm? norm, bool gated, LinearForm? wanted)
    {
        int m = x.Rows, n = y.Columns, k = x.Columns;
        Require(weight.Columns == k && weight.Rows == (gated ? 2L * n : n) && y.Rows == m, $"[{m}, {k}] by [{weight.Rows}, {weight.Columns}] to [{y.Rows}, {n}]");
        CudaTensor? bias = OptionalRow(epilogue.Bias, n, "bias"), normWeight = OptionalRow(norm?.Weight, k, "norm");
        CudaTensor? residual = epilogue.Residual is null ? null : Of(epilogue.Residual);
        Require(residual is null || (residual.Rows == m && residual.Columns == n), $"a residual [{residual?.Rows}, {residual?.Columns}] for [{m}, {n}]");
        if (m == 0) return;

        LinearForm form = wanted ?? LinearPlan.Choose(m, n, _device.Multiprocessors, gated);
        (int gridX, int gridY) = LinearPlan.Grid(form, m, n, gated);
        Require(gridY <= 65535, $"{n} columns are too many");
        int sharedBytes = LinearPlan.SharedBytes(form, weight.Kind, m, k);
        if (form.Streams)
        {
            var arguments = new GemvArguments
            {
                Packed = weight.Packed, Scales = weight.Scales, X = x.Address, Norm = normWeight?.Address ?? 0, Bias = bias?.Address ?? 0,
                Residual = residual?.Address ?? 0, Y = y.Address, XElement = (int)x.Element, XStride = x.Stride,
                ResidualElement = (int)(residual?.Element ?? Element.F32), ResidualStride = residual?.Stride ?? 0, YElement = (int)y.Element, YStride = y.Stride,
                M = m, N = n, K = k, Group = weight.GroupSize, Activation = (int)epilogue.Activation, Gated = gated ? 1 : 0,
                Chunk = LinearPlan.Chunk(form, m), Epsilon = norm?.Epsilon ?? 0,
            };
            Find(_gemv, form, weight).Launch(gridX, gridY, 1, form.Threads, sharedBytes, arguments);
        }
        else
        {
            (ulong operand, int stride) = AsHalves(x);
            var arguments = new GemmArguments
            {
                Packed = weight.Packed, Scales = weight.Scales, X = operand, Bias = bias?.Address ?? 0, Residual = residual?.Address ?? 0, Y = y.Address,
                XStride = stride, ResidualElement = (int)(residual?.Element ?? Element.F32), ResidualStride = residual?.Stride ?? 0,
                YElement = (int)y.Element, YStride = y.Stride, M = m, N = n, K = k, Group = weight.GroupSize, Activation = (int)epilogue.Activation,
                Gated = gated ? 1 : 0,
            };
            Find(_gemm, form, weight).Launch(gridX, gridY, 1, form.Threads, sharedBytes, arguments);
        }

        Keep(y, x, weight, residual);
        Keep(bias, normWeight);
    }

    /// <summary>The tiled kernels take halves: float32 rows are copied to working memory first.</summary>
    private (ulong Address, int Stride) AsHalves(CudaTensor x)
    {
        if (x.Element == Element.F16) return (x.Address, x.Stride);
        ulong copy = Scratch((long)x.Rows * x.Stride * sizeof(ushort));
        _narrow ??= _module.Find<NarrowArguments>("copy_rows_f16_f32");
        var arguments = new NarrowArguments
        {
            Destination = copy, Source = x.Address, Rows = x.Rows, Columns = x.Columns, DestinationStride = x.Stride, SourceStride = x.Stride,
        };
        _narrow.Launch((x.Columns + 511) / 512, Math.Min(x.Rows, 65535), 1, 128, 0, arguments);
        return (copy, x.Stride);
    }

    private Kernel<T> Find<T>(Dictionary<string, Kernel<T>> known, LinearForm form, CudaWeight weight)
        where T : unmanaged
    {
        string name = form.KernelName(weight.Kind, weight.Int8Mma);
        if (!known.TryGetValue(name, out Kernel<T>? kernel))
        {
            kernel = _module.Find<T>(name, LinearPlan.MaxSharedBytes(form, weight.Kind));
            known.Add(name, kernel);
        }

        return kernel;
    }

    private static CudaTensor? OptionalRow(Tensor? tensor, int columns, string name)
    {
        if (tensor is null) return null;
        CudaTensor row = Of(tensor);
        Require(row.Rows == 1 && row.Columns == columns && row.Element == Element.F32, $"{name} [{row.Rows}, {row.Columns}] {row.Element} for {columns} columns");
        return row;
    }
}
