using System.Diagnostics.CodeAnalysis;
using LlavaSp.Quantization;

namespace LlavaSp.Backends.Cuda;

/// <summary>Matrix products: y = activation(x W^T + bias) + residual.</summary>
public sealed partial class CudaBackend
{
    private readonly Dictionary<string, Kernel<GemvArguments>> _streaming = [];
    private readonly Dictionary<string, Kernel<GemmArguments>> _tiled = [];
    private readonly Dictionary<string, Kernel<Int8Arguments>> _integer = [];
    private readonly Kernel<QuantizeArguments>?[] _quantize = new Kernel<QuantizeArguments>?[2];
    private readonly Kernel<NormQuantizeArguments>?[] _normQuantize = new Kernel<NormQuantizeArguments>?[2];

    /// <summary>RMSNorm of the rows of x as part of a product.</summary>
    /// <param name="Weight">[1, columns of x].</param>
    /// <param name="Epsilon">Added to the mean square.</param>
    internal readonly record struct InputNorm(Tensor Weight, float Epsilon);

    /// <inheritdoc/>
    public void Linear(Tensor destination, Tensor source, Weight weight, Epilogue epilogue = default) =>
        Product(Of(destination), Of(source), Of(weight), epilogue, null, gated: false, null);

    /// <inheritdoc/>
    public void NormLinear(Tensor destination, Tensor normed, Tensor source, Tensor normWeight, float epsilon, Weight weight, Epilogue epilogue = default)
    {
        if (LinearPlan.FusesNorm(source.Rows, Of(weight).Int8Mma))
        {
            NormLinear(destination, source, new InputNorm(normWeight, epsilon), weight, epilogue);
            return;
        }

        RmsNorm(normed, source, normWeight, epsilon);
        Linear(destination, normed, weight, epilogue);
    }

    /// <inheritdoc/>
    public void ActivationLinear(Tensor destination, Tensor activated, Tensor source, Activation activation, Weight weight, Epilogue epilogue = default)
    {
        if (LinearPlan.FusesActivation(source.Rows))
        {
            Product(Of(destination), Of(source), Of(weight), epilogue, null, gated: false, null, activation);
            return;
        }

        Activate(activated, source, activation);
        Linear(destination, activated, weight, epilogue);
    }

    /// <inheritdoc/>
    public void GatedNormLinear(Tensor destination, Tensor gateUp, Tensor normed, Tensor source, Tensor normWeight, float epsilon, Weight weight)
    {
        bool fuses = LinearPlan.FusesNorm(source.Rows, Of(weight).Int8Mma);
        if (destination.Columns % 16 != 0)
        {
            NormLinear(gateUp, normed, source, normWeight, epsilon, weight);
            GatedActivation(destination, gateUp);
            return;
        }

        if (!fuses) RmsNorm(normed, source, normWeight, epsilon);
        GatedLinear(destination, fuses ? source : normed, weight, fuses ? new InputNorm(normWeight, epsilon) : null);
    }

    /// <summary>
    /// destination = epilogue(RMSNorm(source) W^T): norm and product are one launch for at most 8 rows, norm and quantisation for products of integers; better
    /// where <see cref="LinearPlan.FusesNorm"/>.
    /// </summary>
    internal void NormLinear(Tensor destination, Tensor source, InputNorm norm, Weight weight, Epilogue epilogue = default)
    {
        Product(Of(destination), Of(source), Of(weight), epilogue, norm, gated: false, null);
    }

    /// <summary>
    /// destination [m, n] = silu(x G^T) * (x U^T) with weight [2 n, k] = [G; U], n a multiple of 16; x is RMSNorm(source) where a norm is given, as above.
    /// </summary>
    internal void GatedLinear(Tensor destination, Tensor source, Weight gateUp, InputNorm? norm = null)
    {
        Require(destination.Columns % 16 == 0, $"{destination.Columns} columns are not whole tiles of 16");
        Product(Of(destination), Of(source), Of(gateUp), default, norm, gated: true, null);
    }

    /// <summary>As the public ones, in a form of the caller's choice: for tests and benchmarks.</summary>
    internal void Product(
        CudaTensor y, CudaTensor x, CudaWeight weight, Epilogue epilogue, InputNorm? norm, bool gated, LinearForm? wanted,
        Activation sourceActivation = Activation.None)
    {
        int m = x.Rows, n = y.Columns, k = x.Columns;
        Require(weight.Columns == k && weight.Rows == (gated ? 2L * n : n) && y.Rows == m, $"[{m}, {k}] by [{weight.Rows}, {weight.Columns}] to [{y.Rows}, {n}]");
        CudaTensor? bias = OptionalRow(epilogue.Bias, n, "bias"), normWeight = OptionalRow(norm?.Weight, k, "norm");
        CudaTensor? residual = epilogue.Residual is null ? null : Of(epilogue.Residual);
        Require(residual is null || (residual.Rows == m && residual.Columns == n), $"a residual [{residual?.Rows}, {residual?.Columns}] for [{m}, {n}]");
        Require(
            HoldsOperand(x, weight) && HoldsOperand(y, weight) && (residual is null || HoldsOperand(residual, weight)),
            $"{x.Element}, {y.Element} and {residual?.Element} beside {weight.Format} weights: float32 or {weight.Operand} can be");
        if (m == 0) return;

        LinearForm form = wanted ?? LinearPlan.Choose(m, n, _device.Multiprocessors, weight.Int8Mma, gated);
        Require(form.Kind == LinearKind.Streaming || weight.Int8Mma == (form.Kind == LinearKind.Integer), "the weights lie in the order of another form");
        Require(norm is null || m <= 8 || form.Kind == LinearKind.Integer, $"no form has a norm as its part for {m} rows of these weights");
        Require(sourceActivation == Activation.None || form.Kind == LinearKind.Streaming, $"no form has the activation of x as its part for {m} rows");
        (int gridX, int gridY) = LinearPlan.Grid(form, m, n, gated);
        Require(gridY <= 65535, $"{n} columns are too many");
        int sharedBytes = LinearPlan.SharedBytes(form, weight.Kind, m, k);
        ulong biasAddress = bias?.Address ?? 0, residualAddress = residual?.Address ?? 0;
        int residualElement = (int)(residual?.Element ?? Element.F32), residualStride = residual?.Stride ?? 0;
        switch (form.Kind)
        {
            case LinearKind.Streaming:
                Find(_streaming, form, weight).Launch(gridX, gridY, 1, form.Threads, sharedBytes, new GemvArguments
                {
                    Packed = weight.Packed,
                    Scales = weight.Scales,
                    X = x.Address,
                    Norm = normWeight?.Address ?? 0,
                    Bias = biasAddress,
                    Residual = residualAddress,
                    Y = y.Address,
                    XElement = (int)x.Element,
                    XStride = x.Stride,
                    XActivation = (int)sourceActivation,
                    ResidualElement = residualElement,
                    ResidualStride = residualStride,
                    YElement = (int)y.Element,
                    YStride = y.Stride,
                    M = m,
                    N = n,
                    K = k,
                    Group = weight.GroupSize,
                    Activation = (int)epilogue.Activation,
                    Gated = gated ? 1 : 0,
                    Chunk = LinearPlan.Chunk(form, m),
                    Epsilon = norm?.Epsilon ?? 0,
                });
                break;
            case LinearKind.Tiled:
                (ulong operand, int stride) = AsOperand(x, weight.Operand);
                Find(_tiled, form, weight).Launch(gridX, gridY, 1, form.Threads, sharedBytes, new GemmArguments
                {
                    Packed = weight.Packed,
                    Scales = weight.Scales,
                    X = operand,
                    Bias = biasAddress,
                    Residual = residualAddress,
                    Y = y.Address,
                    XStride = stride,
                    ResidualElement = residualElement,
                    ResidualStride = residualStride,
                    YElement = (int)y.Element,
                    YStride = y.Stride,
                    M = m,
                    N = n,
                    K = k,
                    Group = weight.GroupSize,
                    Activation = (int)epilogue.Activation,
                    Gated = gated ? 1 : 0,
                });
                break;
            default:
                (ulong quantized, ulong scales, int scalesStride) = Quantized(x, weight.GroupSize, normWeight, norm?.Epsilon ?? 0);
                Find(_integer, form, weight).Launch(gridX, gridY, 1, form.Threads, sharedBytes, new Int8Arguments
                {
                    Packed = weight.Packed,
                    Scales = weight.Scales,
                    X = quantized,
                    TokenScales = scales,
                    Bias = biasAddress,
                    Residual = residualAddress,
                    Y = y.Address,
                    TokenScalesStride = scalesStride,
                    ResidualElement = residualElement,
                    ResidualStride = residualStride,
                    YElement = (int)y.Element,
                    YStride = y.Stride,
                    M = m,
                    N = n,
                    K = k,
                    Group = weight.GroupSize,
                    Activation = (int)epilogue.Activation,
                    Gated = gated ? 1 : 0,
                });
                break;
        }

        Keep(y, x, weight, residual);
        Keep(bias, normWeight);
    }

    /// <summary>Whether 8-bit weights are laid out for products with 8-bit activations. Those of few rows read that order as well, with x in f16.</summary>
    private bool HasInt8MmaLayout(WeightFormat format) => format.Kind == WeightKind.Int8 && _options.Int8Activations;

    /// <summary>
    /// x, or RMSNorm(x) where there is a weight [1, columns] of it, as signed bytes [rows, columns rounded up to 64] and scales [groups, rows rounded up to 4], in
    /// working memory.
    /// </summary>
    internal (ulong Address, ulong Scales, int ScalesStride) Quantized(CudaTensor x, int group, CudaTensor? normWeight, float epsilon)
    {
        int padded = (x.Columns + 63) / 64 * 64, groups = (padded + group - 1) / group, scalesStride = (x.Rows + 3) / 4 * 4;
        long bytes = (long)x.Rows * padded;
        ulong quantized = Scratch(bytes + (long)groups * scalesStride * sizeof(float)), scales = quantized + (ulong)bytes;
        if (normWeight is not null)
        {
            Kernel<NormQuantizeArguments> norm = _normQuantize[(int)x.Element] ??=
                _module.Find<NormQuantizeArguments>(x.Element == Element.F16 ? "rms_norm_quantize_f16" : "rms_norm_quantize_f32");
            norm.Launch((x.Rows + 3) / 4, 1, 1, 512, (16 + (4 * groups)) * sizeof(float), new NormQuantizeArguments
            {
                Quantized = quantized,
                Scales = scales,
                X = x.Address,
                Norm = normWeight.Address,
                Rows = x.Rows,
                Columns = x.Columns,
                XStride = x.Stride,
                Padded = padded,
                Group = group,
                ScalesStride = scalesStride,
                Epsilon = epsilon,
            });
            return (quantized, scales, scalesStride);
        }

        Kernel<QuantizeArguments> kernel = _quantize[(int)x.Element] ??=
            _module.Find<QuantizeArguments>(x.Element == Element.F16 ? "quantize_rows_f16" : "quantize_rows_f32");
        kernel.Launch((padded + 511) / 512, (x.Rows + 7) / 8, 1, 128, 8 * 16 * sizeof(float), new QuantizeArguments
        {
            Quantized = quantized,
            Scales = scales,
            X = x.Address,
            Rows = x.Rows,
            Columns = x.Columns,
            XStride = x.Stride,
            Padded = padded,
            Group = group,
            ScalesStride = scalesStride,
        });
        return (quantized, scales, scalesStride);
    }

    /// <summary>The tiled kernels take f16 or bf16: float32 rows are copied to working memory first.</summary>
    private (ulong Address, int Stride) AsOperand(CudaTensor x, Element element)
    {
        if (x.Element == element) return (x.Address, x.Stride);
        ulong copy = Scratch((long)x.Rows * x.Stride * sizeof(ushort));
        Rows.Narrow(copy, x, element);
        return (copy, x.Stride);
    }

    private static bool HoldsOperand(CudaTensor tensor, CudaWeight weight) => tensor.Element == Element.F32 || tensor.Element == weight.Operand;

    private Kernel<T> Find<[DynamicallyAccessedMembers(Kernel.ArgumentFields)] T>(Dictionary<string, Kernel<T>> known, LinearForm form, CudaWeight weight)
        where T : unmanaged
    {
        string name = form.KernelName(weight.Kind, weight.GroupSize, weight.Int8Mma);
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
