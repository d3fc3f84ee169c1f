using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Backends.Cuda.Driver;
using LlavaSp.Backends.Reference;
using LlavaSp.Quantization;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>
/// Matrix products against the reference with x rounded to f16 or bf16 first, and, where a kernel multiplies integers by their scales as halves, with weights
/// rounded so, too. What is left are sums of float32 in another order: weights have standard deviation 1 / sqrt(k), results are of the size of 1, and the
/// bound 4e-6 sqrt(max(1, k / 100)) is more than twice what was measured (all pass at 2e-6).
/// </summary>
public sealed class CudaLinearTests
{
    private static readonly (int N, int K)[] Shapes = [(1, 1), (16, 64), (5, 9), (33, 101), (70, 192), (130, 328), (40, 700)];

    public static TheoryData<string> Formats() => new("f16", "bf16", "int8:32", "int8:64", "int8:128", "int4:32", "int4:64", "int4:128");

    public static TheoryData<int, string> FormsAndFormats()
    {
        var data = new TheoryData<int, string>();
        for (int form = 0; form < LinearPlan.Forms.Length; form++)
        {
            if (LinearPlan.Forms[form].Kind == LinearKind.Integer) continue;
            foreach (string format in new[] { "f16", "bf16", "int8:32", "int8:64", "int8:128", "int4:32", "int4:64", "int4:128" }) data.Add(form, format);
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(FormsAndFormats))]
    public void EveryFormMatchesTheReference(int index, string name)
    {
        LinearForm form = LinearPlan.Forms[index];
        using CudaBackend cuda = CudaTesting.Create();
        int[] rows = form.Kind == LinearKind.Streaming ? [1, 2, 3, 7, 8, 9, 16, 17, 32] : [1, 63, 64, 65, 130];
        foreach (int m in rows)
        {
            if (form.Kind == LinearKind.Streaming && (m > form.Tokens || (m <= form.Tokens / 4 && form.Tokens > 8))) continue;
            foreach ((int n, int k) in Shapes) new Case(m, n, k, name) { Form = form }.Check(cuda);
        }
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void EveryEpilogueMatchesTheReference(string name)
    {
        using CudaBackend cuda = CudaTesting.Create();
        foreach (int m in new[] { 1, 5, 12, 29, 70 })
        {
            foreach (Activation activation in Enum.GetValues<Activation>())
            {
                foreach (Precision precision in CudaTesting.FullAndOperand)
                {
                    var part = new Case(m, 37, 72, name) { Activation = activation, Y = precision };
                    (part with { Bias = true }).Check(cuda);
                    (part with { Residual = true, X = precision }).Check(cuda);
                    (part with { Bias = true, Residual = true, ResidualIsY = true }).Check(cuda);
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void GatedFormsMatchTheReference(string name)
    {
        using CudaBackend cuda = CudaTesting.Create();
        foreach (int m in new[] { 1, 8, 11, 20, 40, 67 })
        {
            foreach ((int n, int k) in new[] { (16, 40), (112, 136), (144, 64) }) new Case(m, n, k, name) { Gated = true, Y = Precision.Operand }.Check(cuda);
        }
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void TheNormIsPartOfTheProduct(string name)
    {
        using CudaBackend cuda = CudaTesting.Create();
        foreach (int m in new[] { 1, 3, 8 })
        {
            foreach ((int n, int k) in new[] { (30, 7), (48, 1100) })
            {
                new Case(m, n, k, name) { Norm = true, Bias = true }.Check(cuda);
                new Case(m, n, k, name) { Norm = true, X = Precision.Operand, Residual = true }.Check(cuda);
            }

            new Case(m, 32, 130, name) { Norm = true, Gated = true }.Check(cuda);
        }
    }

    /// <summary>Against the same two operations of the reference: up to 32 rows they are one launch here, beyond that two.</summary>
    [Theory]
    [MemberData(nameof(Formats))]
    public void TheActivationOfTheSourceIsPartOfTheProduct(string name)
    {
        using CudaBackend cuda = CudaTesting.Create();
        foreach (int m in new[] { 1, 6, 8, 12, 16, 30, 32, 33, 70 })
        {
            foreach ((int n, int k) in new[] { (30, 7), (48, 1100) })
            {
                foreach (Precision x in CudaTesting.FullAndOperand)
                {
                    new Case(m, n, k, name) { SourceActivation = Activation.Gelu, X = x, Bias = true }.Check(cuda);
                    new Case(m, n, k, name) { SourceActivation = Activation.QuickGelu, X = x, Y = Precision.Operand, Residual = true }.Check(cuda);
                }
            }
        }
    }

    [Fact]
    public void TheActivationOfTheSourceIsNoLaunchOfItsOwn()
    {
        using var pair = new CudaPair();
        CudaBackend cuda = pair.Cuda;
        using Weight weight = cuda.CreateWeight(new MatrixSource(16, 32, new float[512]), WeightFormat.F16);
        foreach ((int m, int launches) in new[] { (6, 1), (32, 1), (33, 2) })
        {
            using Tensor x = cuda.CreateTensor(m, 32), activated = cuda.CreateTensor(m, 32, Precision.Operand), y = cuda.CreateTensor(m, 16);
            IReadOnlyDictionary<string, KernelCount> counts = EmulatorCounts.Of(pair, () => cuda.ActivationLinear(y, activated, x, Activation.Gelu, weight));
            Assert.Equal(launches, counts.Values.Sum(static count => (int)count.Launches));
        }
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void LongRowsAreStagedInPieces(string name)
    {
        using CudaBackend cuda = CudaTesting.Create();
        foreach (int m in new[] { 1, 8, 16, 32 }) new Case(m, 20, 11008, name).Check(cuda);
        new Case(1, 17, 16384 + 72, name).Check(cuda);
        new Case(1, 40, 16384 + 72, name) { Form = LinearPlan.Forms[1] }.Check(cuda);
        new Case(3, 17, 4096 + 2048 + 8, name) { Norm = true }.Check(cuda);
    }

    [Theory]
    [InlineData("int8:32")]
    [InlineData("int8:64")]
    [InlineData("int8:128")]
    public void EightBitActivationsMatchTheirDefinition(string name)
    {
        using CudaBackend cuda = CudaTesting.Create(int8Activations: true);
        foreach (int m in new[] { 1, 8, 16, 32, 33, 63, 64, 65, 130 })
        {
            foreach ((int n, int k) in Shapes) new Case(m, n, k, name) { Int8 = true }.Check(cuda);
        }

        foreach (Precision precision in CudaTesting.FullAndOperand)
        {
            new Case(66, 37, 200, name) { Int8 = true, X = precision, Bias = true, Residual = true, Activation = Activation.Gelu }.Check(cuda);
            new Case(66, 144, 200, name) { Int8 = true, X = precision, Y = Precision.Operand, Gated = true }.Check(cuda);
        }

        foreach (int m in new[] { 1, 14, 30 }) new Case(m, 48, 300, name) { Int8 = true, Gated = true }.Check(cuda);
        foreach (int m in new[] { 2, 33, 66 })
        {
            new Case(m, 48, 300, name) { Int8 = true, Norm = true }.Check(cuda);
            new Case(m, 48, 300, name) { Int8 = true, Norm = true, X = Precision.Operand, Gated = true }.Check(cuda);
        }
    }

    /// <summary>Activations of a million, which as f16 are infinite, with every form; relative to their size as exact as small ones.</summary>
    [Fact]
    public void ActivationsBeyondTheRangeOfHalvesStayFiniteInBF16()
    {
        using var pair = new CudaPair(operand: Element.BF16);
        const int n = 48, k = 200;
        float[] w = CpuTesting.Random(n * k, 2, 1 / MathF.Sqrt(k));
        foreach (int m in new[] { 1, 8, 12, 30, 40, 70 })
        {
            float[] x = CudaTesting.Rounded(CpuTesting.Random(m * k, 1, 1e6f), Element.BF16), residual = CpuTesting.Random(m * n, 3, 1e6f);
            foreach ((Precision to, Precision from) in CudaTesting.Precisions())
            {
                float[][] results = [.. new IBackend[] { pair.Reference, pair.Cuda }.Select(backend =>
                {
                    using Weight weight = backend.CreateWeight(new MatrixSource(n, k, w), WeightFormat.BF16);
                    using Tensor source = pair.Tensor(backend, from, m, k, x), y = pair.Tensor(backend, to, m, n, residual);
                    backend.Linear(y, source, weight, new Epilogue(Residual: y));
                    return y.ToArray();
                })];
                Assert.True(results[0].Max() > 2 * 65504f, "the case has no large result");
                for (int i = 0; i < results[0].Length; i++)
                {
                    float allowed = 10 + (to == Precision.Operand ? MathF.Abs(results[0][i]) * CudaTesting.RoundingOf(Element.BF16) : 0);
                    Assert.True(MathF.Abs(results[0][i] - results[1][i]) <= allowed, $"{m} rows: element {i} is {results[1][i]}, not {results[0][i]}");
                }
            }
        }
    }

    [Fact]
    public void OperandsOfAnotherTypeThanTheWeightsAreRefused()
    {
        using CudaBackend cuda = CudaTesting.Create();
        using Weight bf16 = cuda.CreateWeight(new MatrixSource(8, 16, new float[128]), WeightFormat.BF16);
        using Weight f16 = cuda.CreateWeight(new MatrixSource(8, 16, new float[128]), WeightFormat.F16);
        foreach (int m in new[] { 2, 70 })
        {
            using Tensor halves = cuda.CreateTensor(m, 16, Precision.Operand), y = cuda.CreateTensor(m, 8);
            ArgumentException thrown = Assert.Throws<ArgumentException>(() => cuda.Linear(y, halves, bf16));
            Assert.Contains("F16", thrown.Message, StringComparison.Ordinal);
            cuda.UseWeights(WeightFormat.BF16);
            using Tensor bfloats = cuda.CreateTensor(m, 16, Precision.Operand), row = cuda.CreateTensor(m, 8, Precision.Operand);
            cuda.UseWeights(WeightFormat.F16);
            Assert.Throws<ArgumentException>(() => cuda.Linear(y, bfloats, f16));
            Assert.Throws<ArgumentException>(() => cuda.Linear(row, bfloats, f16));
            Assert.Throws<ArgumentException>(() => cuda.Linear(y, halves, f16, new Epilogue(Residual: row)));
            Assert.Throws<ArgumentException>(() => cuda.Copy(bfloats, halves));
            using Weight table = cuda.CreateWeight(new MatrixSource(2, 8, new float[16]), WeightFormat.F16);
            Assert.Throws<ArgumentException>(() => cuda.Embed(row.Slice(0, 1), table, [0]));
        }
    }

    [Theory]
    [InlineData("f16", false)]
    [InlineData("bf16", false)]
    [InlineData("int8", false)]
    [InlineData("int8", true)]
    [InlineData("int4", false)]
    public void WhatIsNotANumberStaysInItsRow(string name, bool int8)
    {
        var format = WeightFormat.Parse(name);
        foreach (Precision precision in CudaTesting.FullAndOperand)
        {
            using CudaBackend cuda = CudaTesting.Create(int8Activations: int8, weights: format);
            foreach (int m in new[] { 2, 10, 20, 40 })
            {
                const int n = 24, k = 72;
                float[] x = CpuTesting.Random(m * k, 1);
                x[k + 5] = float.NaN;
                using Weight weight = cuda.CreateWeight(new MatrixSource(n, k, CpuTesting.Random(n * k, 2)), format);
                using Tensor source = CudaTesting.Tensor(cuda, precision, m, k, x, cuda.OperandElement), y = cuda.CreateTensor(m, n, precision);
                cuda.Linear(y, source, weight);
                float[] result = y.ToArray();
                for (int i = 0; i < m * n; i++) Assert.True(float.IsNaN(result[i]) == (i / n == 1), $"{m} rows, {name} {precision}: row {i / n} is {result[i]}");
            }
        }
    }

    [Fact]
    public void WhatLiesBetweenColumnsAndStrideIsNotWritten()
    {
        using CudaBackend cuda = CudaTesting.Create();
        foreach (int m in new[] { 3, 20, 70 })
        {
            const int n = 19, k = 33;
            using Weight weight = cuda.CreateWeight(new MatrixSource(n, k, CpuTesting.Random(n * k, 2)), WeightFormat.F16);
            using Tensor source = CudaTesting.Tensor(cuda, Precision.Full, m, k, CpuTesting.Random(m * k, 1)), y = cuda.CreateTensor(m, n);
            var device = (CudaTensor)y;
            cuda.Device.Fill(device.Address, 0x12345678, m * device.Stride);
            cuda.Linear(y, source, weight);
            var raw = new uint[((m - 1) * device.Stride) + n];
            cuda.Device.Download(raw.AsSpan(), device.Address);
            for (int i = 0; i < raw.Length; i++) Assert.Equal(i % device.Stride >= n, raw[i] == 0x12345678);
        }
    }

    [Fact]
    public void ShapesThatDoNotFitAreRefused()
    {
        using CudaBackend cuda = CudaTesting.Create();
        using Weight weight = cuda.CreateWeight(new MatrixSource(8, 16, new float[128]), WeightFormat.F16);
        using Tensor x = cuda.CreateTensor(2, 16), y = cuda.CreateTensor(2, 8), wrong = cuda.CreateTensor(2, 9), row = cuda.CreateTensor(1, 9);
        Assert.Throws<ArgumentException>(() => cuda.Linear(wrong, x, weight));
        Assert.Throws<ArgumentException>(() => cuda.Linear(y, wrong, weight));
        Assert.Throws<ArgumentException>(() => cuda.Linear(y, x, weight, new Epilogue(Bias: row)));
        Assert.Throws<ArgumentException>(() => cuda.Linear(y, x, weight, new Epilogue(Residual: wrong)));
        Assert.Throws<ArgumentException>(() => cuda.GatedLinear(y, x, weight));
    }

    /// <summary>One product on both backends.</summary>
    private sealed record Case(int M, int N, int K, string Format)
    {
        public LinearForm? Form { get; init; }

        public Precision X { get; init; } = Precision.Full;

        public Precision Y { get; init; } = Precision.Full;

        public Activation Activation { get; init; }

        public bool Bias { get; init; }

        public bool Residual { get; init; }

        public bool ResidualIsY { get; init; }

        public bool Gated { get; init; }

        public bool Norm { get; init; }

        /// <summary>What precedes the product, through <see cref="IBackend.ActivationLinear"/>.</summary>
        public Activation SourceActivation { get; init; }

        public bool Int8 { get; init; }

        private const float Epsilon = 1e-5f;

        private Element Operand => Format == "bf16" ? Element.BF16 : Element.F16;

        private int WeightRows => Gated ? 2 * N : N;

        public void Check(CudaBackend cuda)
        {
            var format = WeightFormat.Parse(Format);
            cuda.UseWeights(format);
            float[] x = Rounded(CpuTesting.Random(M * K, 1000 + M + K)), w = CpuTesting.Random(WeightRows * K, 5000 + N + K, 1 / MathF.Sqrt(K));
            float[] bias = CpuTesting.Random(N, 3), residual = Rounded(CpuTesting.Random(M * N, 4)), norm = CpuTesting.Random(K, 5);
            float[] expected = Expected(format, x, w, bias, residual, norm);

            using Weight weight = cuda.CreateWeight(new MatrixSource(WeightRows, K, w), format);
            using Tensor source = CudaTesting.Tensor(cuda, X, M, K, x, Operand), y = CudaTesting.Tensor(cuda, Y, M, N, residual, Operand);
            using Tensor biasRow = CpuTesting.Tensor(cuda, 1, N, bias), other = CudaTesting.Tensor(cuda, X, M, N, residual, Operand);
            using Tensor normRow = CpuTesting.Tensor(cuda, 1, K, norm);
            var epilogue = new Epilogue(Bias ? biasRow : null, Activation, ResidualIsY ? y : Residual ? other : null);
            if (SourceActivation != Activation.None)
            {
                using Tensor activated = cuda.CreateTensor(M, K, Precision.Operand);
                cuda.ActivationLinear(y, activated, source, SourceActivation, weight, epilogue);
            }
            else
            {
                cuda.Product(
                    (CudaTensor)y, (CudaTensor)source, (CudaWeight)weight, epilogue, Norm ? new CudaBackend.InputNorm(normRow, Epsilon) : null, Gated, Form);
            }

            float[] actual = y.ToArray();
            float bound = 4e-6f * MathF.Sqrt(MathF.Max(1, K / 100f)) * (Gated ? 4 : 1);
            // The norm in float32 may round to another half; to another integer, a step of 3 / 127, in one or two of the columns.
            if (SourceActivation != Activation.None) bound += Operand == Element.F16 ? 1e-3f : 8e-3f;
            if (Norm) bound += Int8 && M > 32 ? 5e-2f / MathF.Sqrt(K) : Operand == Element.F16 ? 1e-3f : 8e-3f;
            for (int i = 0; i < actual.Length; i++)
            {
                float rounding = Y == Precision.Operand ? MathF.Abs(expected[i]) * CudaTesting.RoundingOf(Operand) : 0;
                float allowed = bound * MathF.Max(1, MathF.Abs(expected[i])) + rounding;
                Assert.True(MathF.Abs(expected[i] - actual[i]) <= allowed, $"{this}: element {i} is {actual[i]}, not {expected[i]}");
            }
        }

        private float[] Expected(WeightFormat format, float[] x, float[] w, float[] bias, float[] residual, float[] norm)
        {
            using var reference = new ReferenceBackend();
            bool exact = !format.IsInteger || Form is { Tokens: 8 } || (Form is null && (M <= 8 || (Int8 && M > 32)));
            using Weight weight = exact
                ? reference.CreateWeight(new MatrixSource(WeightRows, K, w), format)
                : reference.CreateWeight(new MatrixSource(WeightRows, K, Scaled(w, format)), WeightFormat.F16);
            using Tensor source = CpuTesting.Tensor(reference, M, K, x), product = reference.CreateTensor(M, WeightRows), y = reference.CreateTensor(M, N);
            if (Norm)
            {
                using Tensor normRow = CpuTesting.Tensor(reference, 1, K, norm);
                reference.RmsNorm(source, source, normRow, Epsilon);
                if (!(Int8 && M > 32)) source.Write(Rounded(source.ToArray()));
            }

            if (SourceActivation != Activation.None)
            {
                reference.Activate(source, source, SourceActivation);
                source.Write(Rounded(source.ToArray()));
            }

            if (Int8 && M > 32) source.Write(Quantized(source.ToArray(), format.GroupSize));
            using Tensor biasRow = CpuTesting.Tensor(reference, 1, N, bias), other = CpuTesting.Tensor(reference, M, N, residual);
            if (Gated)
            {
                reference.Linear(product, source, weight);
                reference.GatedActivation(y, product);
            }
            else
            {
                reference.Linear(y, source, weight, new Epilogue(Bias ? biasRow : null, Activation, Residual || ResidualIsY ? other : null));
            }

            return y.ToArray();
        }

        /// <summary>x through signed bytes, a scale for each row and group.</summary>
        private float[] Quantized(float[] x, int group)
        {
            var result = new float[x.Length];
            for (int row = 0; row < M; row++)
            {
                for (int first = 0; first < K; first += group)
                {
                    Span<float> part = x.AsSpan(row * K + first, Math.Min(group, K - first));
                    float largest = 0;
                    foreach (float v in part) largest = MathF.Max(largest, MathF.Abs(v));
                    float inverse = largest > 0 ? 127 / largest : 0, scale = largest / 127;
                    for (int i = 0; i < part.Length; i++) result[row * K + first + i] = MathF.Round(part[i] * inverse) * scale;
                }
            }

            return result;
        }

        /// <summary>The numbers of an integer format.</summary>
        private float[] Scaled(float[] w, WeightFormat format)
        {
            var result = new float[w.Length];
            var integers = new sbyte[K];
            var scales = new float[format.Groups(K)];
            for (int row = 0; row < WeightRows; row++)
            {
                GroupQuantizer.Quantize(w.AsSpan(row * K, K), format, integers, scales);
                GroupQuantizer.Dequantize(integers, scales, format.GroupSize, result.AsSpan(row * K, K));
            }

            return result;
        }

        private float[] Rounded(float[] values) => CudaTesting.Rounded(values, Operand);
    }
}
