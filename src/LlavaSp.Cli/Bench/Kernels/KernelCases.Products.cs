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

        /// <summary>Whether W holds gates and ups.</summary>
        public bool Gated { get; init; }

        /// <summary>Whether 8-bit weights meet 8-bit activations.</summary>
        public bool Int8Activations { get; init; } = true;
    }

    /// <summary>A product, and what the backend launches in front of it.</summary>
    private void AddProduct(string stage, string what, Linear linear, int batch, double launches)
    {
        (int m, int n, int k) = (linear.M, linear.N, linear.K);
        bool int8Mma = linear.Format.Kind == WeightKind.Int8 && linear.Int8Activations, fusesNorm = linear.Norm && LinearPlan.FusesNorm(m);
        if (linear.Norm && !fusesNorm) AddNorm(stage, centred: false, m, k, batch, launches);
        LinearForm form = LinearPlan.Choose(m, n, _multiprocessors, int8Mma, linear.Gated);
        bool integers = form.Kind == LinearKind.Integer;
        if (integers) AddQuantize(stage, m, k, linear.Format, batch, launches);

        string kernel = form.KernelName(linear.Format.Kind, linear.Format.GroupSize, int8Mma);
        long rows = linear.Gated ? 2L * n : n;
        double x = integers ? m * (k + (double)linear.Format.Groups(k) * sizeof(float)) : (double)m * k * Bytes(fusesNorm ? Precision.Full : Precision.Operand);
        double bytes = rows * linear.Format.RowBytes(k) + x + (double)m * n * (Bytes(linear.To) + (linear.Residual ? sizeof(float) : 0))
            + sizeof(float) * ((linear.Bias ? n : 0) + (fusesNorm ? k : 0));
        string weights = linear.Format.Kind == WeightKind.Int8 && !linear.Int8Activations ? $"{linear.Format}, f16 activations" : linear.Format.ToString();
        Add(new KernelCase(stage, kernel, Invariant($"{what} {m} x {rows} x {k}"), weights, batch)
        {
            Launches = launches,
            MinimumBytes = bytes,
            Operations = 2.0 * m * rows * k,
            Unit = integers ? ArithmeticUnit.TensorInt8 : ArithmeticUnit.TensorF16,
            Product = fusesNorm || linear.Gated || integers ? null : new MatrixProduct(m, n, k),
            Prepare = backend =>
            {
                CudaWeight weight = backend.CreateEmptyWeight(rows, k, linear.Format, int8Mma);
                CudaTensor source = backend.CreateFilledTensor(m, k, fusesNorm ? Precision.Full : Precision.Operand);
                CudaTensor y = backend.CreateFilledTensor(m, n, linear.To);
                CudaTensor? bias = linear.Bias ? backend.CreateFilledTensor(1, n) : null, norm = fusesNorm ? backend.CreateFilledTensor(1, k) : null;
                var epilogue = new Epilogue(bias, linear.Activation, linear.Residual ? y : null);
                CudaBackend.InputNorm? input = norm is null ? null : new CudaBackend.InputNorm(norm, 1e-5f);
                return new PreparedCase(
                    backend, kernel, () => backend.Product(y, source, weight, epilogue, input, linear.Gated, null), weight, source, y, bias, norm);
            },
        });
    }

    /// <summary>Rows of x to signed bytes, in front of products of integers.</summary>
    private void AddQuantize(string stage, int m, int k, WeightFormat format, int batch, double launches)
    {
        const string kernel = "quantize_rows_f16";
        Add(
            stage, kernel, Invariant($"quantise {m} x {k}"), "", batch, launches, m * (3.0 * k + (double)format.Groups(k) * sizeof(float)), backend =>
            {
                CudaWeight weight = backend.CreateEmptyWeight(16, k, format, int8Mma: true);
                CudaTensor x = backend.CreateFilledTensor(m, k, Precision.Operand), y = backend.CreateFilledTensor(m, 16);
                return (() => backend.Product(y, x, weight, default, null, gated: false, null), [weight, x, y]);
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
