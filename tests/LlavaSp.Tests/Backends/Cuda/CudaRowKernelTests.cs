using System.Runtime.CompilerServices;
using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Quantization;
using static LlavaSp.Tests.Backends.CpuTesting;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>Kernels that go row by row, against the reference: sizes with tails, one row, slices, in place, both element types on both sides.</summary>
public sealed class CudaRowKernelTests
{
    private static readonly (int Rows, int Columns)[] Sizes = [(1, 1), (3, 7), (9, 64), (5, 513), (2, 2050)];

    public static TheoryData<string> Operands() => new(nameof(Element.F16), nameof(Element.BF16));

    [Theory]
    [MemberData(nameof(Operands))]
    public void TensorsKeepTheirNumbers(string operand)
    {
        using var pair = new CudaPair(operand: Enum.Parse<Element>(operand));
        foreach ((int rows, int columns) in Sizes)
        {
            float[] values = Random(rows * columns, 1);
            foreach (Precision precision in CudaTesting.FullAndOperand)
            {
                using Tensor tensor = pair.Tensor(pair.Cuda, precision, rows, columns, values);
                float[] expected = precision == Precision.Full ? values : CudaTesting.Rounded(values, pair.Operand);
                Assert.Equal(expected, tensor.ToArray());
                Assert.Equal(expected[((rows - 1) * columns)..], tensor.Slice(rows - 1, 1).ToArray());
            }
        }

        // Larger than a staging buffer, and a row that alone is.
        foreach ((int rows, int columns) in new[] { (3000, 1001), (2, 1_100_003) })
        {
            float[] values = Random(rows * columns, 2);
            using Tensor tensor = pair.Tensor(pair.Cuda, Precision.Full, rows, columns, values);
            Assert.Equal(values, tensor.ToArray());
        }
    }

    [Theory]
    [MemberData(nameof(Operands))]
    public void CopiesAndGathersAreExact(string operand)
    {
        using var pair = new CudaPair(operand: Enum.Parse<Element>(operand));
        foreach ((Precision to, Precision from) in CudaTesting.Precisions())
        {
            foreach ((int rows, int columns) in Sizes)
            {
                float[] values = Random(rows * columns, 1);
                int[] ids = [.. Enumerable.Range(0, rows + 3).Select(i => i * 7 % rows)];
                pair.Same(to, rows, columns, 0, (backend, y) => backend.Copy(y, pair.Tensor(backend, from, rows, columns, values)));
                pair.Same(to, ids.Length, columns, 0, (backend, y) => backend.Gather(y, pair.Tensor(backend, from, rows, columns, values), ids));
            }

            pair.Same(to, 70, 37, 0, (backend, y) => backend.Copy(y.Slice(3, 60), pair.Tensor(backend, from, 70, 37, Random(70 * 37, 3)).Slice(10, 60)));
            pair.Same(to, 70, 37, 0, (backend, y) => backend.Copy(y.Slice(3, 0), y.Slice(10, 0)));
        }
    }

    [Theory]
    [MemberData(nameof(Operands))]
    public void NormsAgree(string operand)
    {
        using var pair = new CudaPair(operand: Enum.Parse<Element>(operand));
        foreach ((Precision to, Precision from) in CudaTesting.Precisions())
        {
            // The last one does not fit into shared memory.
            foreach ((int rows, int columns) in Sizes.Append((2, 13001)))
            {
                float[] x = Random(rows * columns, 5, 3), weight = Random(columns, 6), bias = Random(columns, 7);
                for (int i = 0; i < x.Length; i++) x[i] += 2;
                pair.Same(to, rows, columns, 2e-5f, (backend, y) => backend.LayerNorm(
                    y, pair.Tensor(backend, from, rows, columns, x), Tensor(backend, 1, columns, weight), Tensor(backend, 1, columns, bias), 1e-5f));
                pair.Same(to, rows, columns, 2e-5f, (backend, y) =>
                    backend.RmsNorm(y, pair.Tensor(backend, from, rows, columns, x), Tensor(backend, 1, columns, weight), 1e-5f));
            }
        }

        // Many rows take smaller blocks than few; in place.
        float[] many = Random(300 * 1030, 8), scale = Random(1030, 9), shift = Random(1030, 10);
        pair.Same(Precision.Full, 300, 1030, 2e-5f, (backend, y) =>
        {
            y.Write(many);
            backend.LayerNorm(y, y, Tensor(backend, 1, 1030, scale), Tensor(backend, 1, 1030, shift), 1e-6f);
        });
    }

    [Theory]
    [MemberData(nameof(Operands))]
    public void ActivationsAgree(string operand)
    {
        using var pair = new CudaPair(operand: Enum.Parse<Element>(operand));
        foreach ((Precision to, Precision from) in CudaTesting.Precisions())
        {
            foreach ((int rows, int columns) in Sizes)
            {
                float[] x = Random(rows * columns, 5, 3), gateUp = Random(2 * rows * columns, 8, 2);
                if (x.Length > 8) (x[2], x[5]) = (-300, 300);
                foreach (Activation activation in Enum.GetValues<Activation>())
                {
                    pair.Same(to, rows, columns, 2e-6f, (backend, y) =>
                        backend.Activate(y, pair.Tensor(backend, from, rows, columns, x), activation), $"{activation}");
                }

                pair.Same(to, rows, columns, 5e-6f, (backend, y) =>
                    backend.GatedActivation(y, pair.Tensor(backend, from, rows, 2 * columns, gateUp)));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Operands))]
    public void EmbeddingRowsAreThoseOfTheTable(string operand)
    {
        using var pair = new CudaPair(operand: Enum.Parse<Element>(operand));
        foreach ((int rows, int columns) in new[] { (70, 37), (16, 64), (17, 1), (33, 1030) })
        {
            float[] table = Random(rows * columns, 4);
            WeightFormat format = pair.Operand == Element.F16 ? WeightFormat.F16 : WeightFormat.BF16;
            int[] ids = [rows - 1, 0, 8, 7, 15, 9, 9];
            foreach (Precision precision in CudaTesting.FullAndOperand)
            {
                pair.Same(precision, ids.Length, columns, 0, (backend, y) =>
                {
                    using Weight w = backend.CreateWeight(new MatrixSource(rows, columns, table), format);
                    backend.Embed(y, w, ids);
                });
            }
        }
    }

    /// <summary>Numbers that halves do not hold, and what is no number, through every kernel from and to bf16.</summary>
    [Fact]
    public void LargeNumbersAndNaNPassInBF16()
    {
        using var pair = new CudaPair(operand: Element.BF16);
        const int rows = 3, columns = 70;
        foreach ((Precision to, Precision from) in CudaTesting.Precisions())
        {
            // Positive, so that in the gated form silu(gate) is as large as gate.
            float[] x = Array.ConvertAll(Random(rows * columns, 5, 1e6f), MathF.Abs), weight = Random(columns, 6), bias = Random(columns, 7);
            float[] gateUp = [.. Enumerable.Range(0, 2 * rows * columns).Select(i => i / columns % 2 == 0 ? x[i / 2 / columns * columns + i % columns] : 1)];
            pair.Same(to, rows, columns, 0, (backend, y) => backend.Copy(y, pair.Tensor(backend, from, rows, columns, x)));
            pair.Same(to, rows, columns, 2, (backend, y) => backend.Activate(y, pair.Tensor(backend, from, rows, columns, x), Activation.Gelu));
            pair.Same(to, rows, columns, 2, (backend, y) => backend.GatedActivation(y, pair.Tensor(backend, from, rows, 2 * columns, gateUp)));
            pair.Same(to, rows, columns, 2e-5f, (backend, y) =>
                backend.RmsNorm(y, pair.Tensor(backend, from, rows, columns, x), Tensor(backend, 1, columns, weight), 1e-5f));
            pair.Same(to, rows, columns, 2e-5f, (backend, y) => backend.LayerNorm(
                y, pair.Tensor(backend, from, rows, columns, x), Tensor(backend, 1, columns, weight), Tensor(backend, 1, columns, bias), 1e-5f));

            x[columns + 3] = float.NaN;
            gateUp[2 * columns + 3] = float.NaN;
            using Tensor source = pair.Tensor(pair.Cuda, from, rows, columns, x), gates = pair.Tensor(pair.Cuda, from, rows, 2 * columns, gateUp);
            using Tensor result = pair.Cuda.CreateTensor(rows, columns, to);
            using Tensor scale = Tensor(pair.Cuda, 1, columns, weight), shift = Tensor(pair.Cuda, 1, columns, bias);
            Check(() => pair.Cuda.Copy(result, source), wholeRow: false);
            Check(() => pair.Cuda.Activate(result, source, Activation.QuickGelu), wholeRow: false);
            Check(() => pair.Cuda.GatedActivation(result, gates), wholeRow: false);
            Check(() => pair.Cuda.RmsNorm(result, source, scale, 1e-5f), wholeRow: true);
            Check(() => pair.Cuda.LayerNorm(result, source, scale, shift, 1e-5f), wholeRow: true);

            void Check(Action operation, bool wholeRow, [CallerArgumentExpression(nameof(operation))] string what = "")
            {
                operation();
                float[] values = result.ToArray();
                for (int i = 0; i < values.Length; i++)
                {
                    bool expected = wholeRow ? i / columns == 1 : i == columns + 3;
                    Assert.True(float.IsNaN(values[i]) == expected, $"{what} from {from} to {to}: element {i} is {values[i]}");
                }
            }
        }
    }

    [Fact]
    public void QueriesAreHalvesWhateverTheWeights()
    {
        foreach (WeightFormat format in new[] { WeightFormat.F16, WeightFormat.BF16, WeightFormat.Int8() })
        {
            using CudaBackend cuda = CudaTesting.Create(weights: format);
            using Tensor query = cuda.CreateTensor(1, 8, Precision.Query), operand = cuda.CreateTensor(1, 8, Precision.Operand);
            Assert.Equal(Element.F16, ((CudaTensor)query).Element);
            Assert.Equal(format == WeightFormat.BF16 ? Element.BF16 : Element.F16, ((CudaTensor)operand).Element);
        }
    }

    [Fact]
    public void ArgmaxTakesTheFirstLargestAndRefusesNaN()
    {
        using var pair = new CudaPair();
        foreach (int count in new[] { 1, 5, 1000, 1023, 1025, 32000, 70001 })
        {
            float[] logits = Random(count, 12);
            int expected = pair.Reference.Argmax(Tensor(pair.Reference, 1, count, logits));
            Assert.Equal(expected, pair.Cuda.Argmax(Tensor(pair.Cuda, 1, count, logits)));
            foreach ((int first, int second) in new[] { (0, count - 1), (count / 3, count / 2), (count - 1, count - 1) })
            {
                float[] equals = [.. logits];
                equals[first] = equals[second] = 50;
                Assert.Equal(first, pair.Cuda.Argmax(Tensor(pair.Cuda, 1, count, equals)));
                equals[second] = float.NaN;
                Assert.Throws<LlavaSpException>(() => pair.Cuda.Argmax(Tensor(pair.Cuda, 1, count, equals)));
            }

            Array.Fill(logits, float.NegativeInfinity);
            Assert.Equal(0, pair.Cuda.Argmax(Tensor(pair.Cuda, 1, count, logits)));
        }
    }

    [Fact]
    public void WrongShapesAreRefused()
    {
        using var pair = new CudaPair();
        CudaBackend cuda = pair.Cuda;
        Tensor T(int rows, int columns) => cuda.CreateTensor(rows, columns);
        using Weight table = cuda.CreateWeight(new MatrixSource(4, 6, Random(24, 1)), WeightFormat.F16);
        Assert.All(
            new Action[]
            {
                () => cuda.Copy(T(1, 2), T(2, 1)),
                () => cuda.Copy(T(1, 1), pair.Reference.CreateTensor(1, 1)),
                () => cuda.Gather(T(1, 2), T(2, 2), [2]),
                () => cuda.Gather(T(1, 2), T(2, 2), [-1]),
                () => cuda.LayerNorm(T(1, 4), T(1, 4), T(1, 3), T(1, 4), 1),
                () => cuda.LayerNorm(T(1, 4), T(1, 4), T(1, 4), T(1, 3), 1),
                () => cuda.RmsNorm(T(1, 4), T(1, 4), T(2, 4), 1),
                () => cuda.GatedActivation(T(1, 4), T(1, 7)),
                () => cuda.Activate(T(1, 4), T(1, 5), Activation.Gelu),
                () => cuda.Embed(T(1, 6), table, [4]),
                () => cuda.Embed(T(1, 5), table, [0]),
                () => cuda.Argmax(T(2, 4)),
                () => T(1, 4).Write(new float[5]),
                () => T(1, 4).Read(new float[3]),
                () => T(4, 4).Slice(3, 2),
                () => T(1, 0).Dispose(),
            },
            action => Assert.ThrowsAny<ArgumentException>(action));
        Tensor dead = T(2, 2), view = dead.Slice(0, 1);
        dead.Dispose();
        Assert.Throws<ObjectDisposedException>(() => cuda.Copy(view, T(1, 2)));
    }
}
