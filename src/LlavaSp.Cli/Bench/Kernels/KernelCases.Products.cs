using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Quantization;

namespace LlavaSp.Cli.Bench.Kernels;

/// <summary>Products of matrices.</summary>
internal sealed partial class KernelCases
{
    /// <summary>A product as the graph asks for it.</summary>
    /// <param name="M">Rows of x.</param>
    /// <param name="N">Columns of y.</param>
    /// <param name="K">Columns of x.</param>
    /// <param name="Format">Format of W.</param>
    private sealed record Linear(int M, int N, int K, WeightFormat Format)
    {
        /// <summary>Type of y.</summary>
        public Precision To { get; init; } = Precision.Operand;

        /// <summary>Whether y is added to what it replaces.</summary>
        public bool Residual { get; init; }

        public bool Bias { get; init; }

        public Activation Activation { get; init; }

        /// <summary>Whether x is normalised first, from float32.</summary>
        public bool Norm { get; init; }

        /// <summary>What is done with x first, from float32.</summary>
        public Activation SourceActivation { get; init; }

        /// <summary>Whether W holds gates and ups.</summary>
        public bool Gated { get; init; }

        /// <summary>Whether 8-bit weights meet 8-bit activations.</summary>
        public bool Int8Activations { get; init; } = true;
    }

    /// <summary>A product, and what the backend launches in front of it.</summary>
    private void AddProduct(string stage, string what, Linear linear, int batch, double launches)
    {
        (int m, int n, int k) = (linear.M, linear.N, linear.K);
        _model = linear.Int8Activations ? linear.Format.ToString() : $"{linear.Format}, f16 activations";
        bool int8Mma = linear.Format.Kind == WeightKind.Int8 && linear.Int8Activations, fusesNorm = linear.Norm && LinearPlan.FusesNorm(m, int8Mma);
        if (linear.Norm && !fusesNorm) AddNorm(stage, centred: false, m, k, batch, launches);
        bool activates = linear.SourceActivation != Activation.None, activatesItself = activates && LinearPlan.FusesActivation(m);
        if (activates && !activatesItself)
        {
            AddRows(
                stage, "activate_f16_f32", m, k, (Precision.Operand, Precision.Full), batch, launches,
                (backend, to, from) => backend.Activate(to, from, linear.SourceActivation), "activate");
        }

        LinearForm form = LinearPlan.Choose(m, n, _multiprocessors, int8Mma, linear.Gated);
        bool integers = form.Kind == LinearKind.Integer;
        // Where x becomes integers, the norm is a part of that.
        bool normsItself = fusesNorm && !integers;
        if (integers) AddQuantize(stage, linear, batch, launches);

        string kernel = form.KernelName(linear.Format.Kind, linear.Format.GroupSize, int8Mma);
        long rows = linear.Gated ? 2L * n : n;
        double x = integers
            ? m * (k + (double)linear.Format.Groups(k) * sizeof(float))
            : (double)m * k * Bytes(normsItself || activatesItself ? Precision.Full : Precision.Operand);
        double bytes = rows * linear.Format.RowBytes(k) + x + (double)m * n * (Bytes(linear.To) + (linear.Residual ? sizeof(float) : 0))
            + sizeof(float) * ((linear.Bias ? n : 0) + (normsItself ? k : 0));
        Add(new KernelCase(stage, kernel, Invariant($"{what} {m} x {rows} x {k}"), _model, batch)
        {
            Launches = launches,
            MinimumBytes = bytes,
            Operations = 2.0 * m * rows * k,
            Unit = integers ? ArithmeticUnit.TensorInt8 : ArithmeticUnit.TensorF16,
            Product = fusesNorm || activatesItself || linear.Gated || integers ? null : new MatrixProduct(m, n, k),
            Prepare = backend =>
            {
                CudaWeight weight = backend.CreateEmptyWeight(rows, k, linear.Format, int8Mma);
                CudaTensor source = backend.CreateFilledTensor(m, k, fusesNorm || activatesItself ? Precision.Full : Precision.Operand);
                CudaTensor y = backend.CreateFilledTensor(m, n, linear.To);
                CudaTensor? bias = linear.Bias ? backend.CreateFilledTensor(1, n) : null, norm = fusesNorm ? backend.CreateFilledTensor(1, k) : null;
                var epilogue = new Epilogue(bias, linear.Activation, linear.Residual ? y : null);
                CudaBackend.InputNorm? input = norm is null ? null : new CudaBackend.InputNorm(norm, 1e-5f);
                Activation activation = activatesItself ? linear.SourceActivation : Activation.None;
                return new PreparedCase(
                    backend, kernel, () => backend.Product(y, source, weight, epilogue, input, linear.Gated, null, activation), weight, source, y, bias, norm);
            },
        });
    }

    /// <summary>Rows of x, normalised or not, to signed bytes, in front of products of integers.</summary>
    private void AddQuantize(string stage, Linear linear, int batch, double launches)
    {
        (int m, int k) = (linear.M, linear.K);
        string kernel = linear.Norm ? "rms_norm_quantize_f32" : "quantize_rows_f16", what = linear.Norm ? "normalise, quantise" : "quantise";
        Precision from = linear.Norm ? Precision.Full : Precision.Operand;
        double bytes = m * ((double)k * (Bytes(from) + sizeof(sbyte)) + (double)linear.Format.Groups(k) * sizeof(float))
            + (linear.Norm ? k * sizeof(float) : 0);
        Add(stage, kernel, Invariant($"{what} {m} x {k}"), "", batch, launches, bytes, backend =>
        {
            CudaWeight weight = backend.CreateEmptyWeight(16, k, linear.Format, int8Mma: true);
            CudaTensor x = backend.CreateFilledTensor(m, k, from), y = backend.CreateFilledTensor(m, 16), norm = backend.CreateFilledTensor(1, k);
            CudaBackend.InputNorm? input = linear.Norm ? new CudaBackend.InputNorm(norm, 1e-5f) : null;
            return (() => backend.Product(y, x, weight, default, input, gated: false, null), [weight, x, y, norm]);
        });
    }

    /// <summary>Forms that other lengths of a prompt take, and 8-bit weights with f16 activations.</summary>
    private void AddOtherForms()
    {
        int hidden = _decoder.HiddenSize, inner = _decoder.IntermediateSize;
        WeightFormat[] formats = [.. Formats.Select(WeightFormat.Parse)];
        foreach (int rows in (int[])[16, 32, 64, 160])
        {
            foreach (WeightFormat format in formats)
            {
                AddProduct("short prompt", "output", new Linear(rows, hidden, hidden, format) { To = Precision.Full, Residual = true }, 1, _decoder.Layers);
            }
        }

        foreach ((string stage, int rows) in ((string, int)[])[("prefill", PrefillRows), ("short prompt", 16), ("short prompt", 32), ("decode", 1)])
        {
            Linear plain = new(rows, hidden, hidden, WeightFormat.Int8()) { To = Precision.Full, Residual = true, Int8Activations = false };
            AddProduct(stage, "output", plain, 1, _decoder.Layers);
            AddProduct(stage, "gate, up", plain with { N = inner, To = Precision.Operand, Residual = false, Gated = true }, 1, _decoder.Layers);
        }
    }
}
