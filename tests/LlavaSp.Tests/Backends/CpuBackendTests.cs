using LlavaSp.Backends;
using LlavaSp.Quantization;
using static LlavaSp.Tests.Backends.CpuTesting;

namespace LlavaSp.Tests.Backends;

/// <summary>Every operation of the CPU backend against the reference, on every instruction set.</summary>
public sealed class CpuBackendTests
{
    public static TheoryData<string> InstructionSets() => CpuTesting.InstructionSets();

    [Theory]
    [MemberData(nameof(InstructionSets))]
    public void LinearAgreesInFloatFormats(string isa)
    {
        using var pair = new Pair(isa);
        int seed = 0;
        foreach (WeightFormat format in new[] { WeightFormat.F32, WeightFormat.F16, WeightFormat.BF16 })
        {
            foreach ((int m, int n, int k) in new[] { (1, 33, 70), (5, 100, 31), (13, 64, 257), (70, 17, 96) })
            {
                seed++;
                var activation = (Activation)(seed % 3);
                float[] weight = Random(n * k, seed), x = Random(m * k, seed + 1), bias = Random(n, seed + 2), residual = Random(m * n, seed + 3);
                pair.Same(m, n, 1e-5f * k, (backend, y) =>
                {
                    using Weight w = backend.CreateWeight(new MatrixSource(n, k, weight), format);
                    Assert.Equal((n, k, format), (w.Rows, w.Columns, w.Format));
                    y.Write(residual);
                    backend.Linear(y, Tensor(backend, m, k, x), w, new Epilogue(Tensor(backend, 1, n, bias), activation, y));
                });
                pair.Same(m, n, 1e-5f * k, (backend, y) =>
                {
                    using Weight w = backend.CreateWeight(new MatrixSource(n, k, weight), format);
                    backend.Linear(y, Tensor(backend, m, k, x), w);
                });
            }
        }
    }

    [Theory]
    [MemberData(nameof(InstructionSets))]
    public void LinearAgreesInIntegerFormats(string isa)
    {
        using Pair exact = new(isa), rounded = new(isa, int8: true);
        foreach (WeightFormat format in new[] { WeightFormat.Int8(32), WeightFormat.Int8(), WeightFormat.Int8(128), WeightFormat.Int4(32), WeightFormat.Int4(), WeightFormat.Int4(128) })
        {
            foreach ((int m, int n, int k) in new[] { (1, 33, 70), (13, 64, 300), (40, 35, 512) })
            {
                float[] weight = Random(n * k, 1), x = Random(m * k, 2);
                void Run(IBackend backend, Tensor y)
                {
                    using Weight w = backend.CreateWeight(new MatrixSource(n, k, weight), format);
                    backend.Linear(y, Tensor(backend, m, k, x), w);
                }

                exact.Same(m, n, 1e-6f * k, Run, $"{format} {k}");
                // Each activation is off by half a step of its group at most: uniform errors of amax / 254, amax about 3.
                rounded.Same(m, n, 5 * 3f / 254 / MathF.Sqrt(3) * MathF.Sqrt(k), Run, $"{format} {k} with int8 activations");
            }
        }
    }

    [Theory]
    [MemberData(nameof(InstructionSets))]
    public void StoredIntegersAreTakenAsTheyAre(string isa)
    {
        using Pair pair = new(isa);
        const int rows = 50;
        foreach ((WeightFormat format, int columns) in new[] { (WeightFormat.Int8(32), 100), (WeightFormat.Int4(64), 100), (WeightFormat.Int4(32), 99), (WeightFormat.Int8(128), 7) })
        {
            int most = format.Kind == WeightKind.Int8 ? 127 : 7;
            var random = new Random(3);
            sbyte[] values = [.. Enumerable.Range(0, rows * columns).Select(_ => (sbyte)random.Next(-most, most + 1))];
            float[] scales = [.. Enumerable.Range(0, rows * (int)format.Groups(columns)).Select(_ => random.Next(1, 100) / 1024f)];
            int[] ids = [0, 49, 7, 32, 31];
            pair.Same(ids.Length, columns, 0, (backend, y) =>
            {
                using Weight w = backend.CreateWeight(new IntegerSource(rows, columns, format, values, scales), format);
                backend.Embed(y, w, ids);
            });
        }
    }

    [Theory]
    [MemberData(nameof(InstructionSets))]
    public void EmbedAndCopiesAreExact(string isa)
    {
        using Pair pair = new(isa);
        const int rows = 70, columns = 37;
        float[] table = Random(rows * columns, 4);
        int[] ids = [69, 0, 33, 33];
        foreach (WeightFormat format in new[] { WeightFormat.F32, WeightFormat.F16, WeightFormat.BF16, WeightFormat.Int8(32), WeightFormat.Int4(32) })
        {
            pair.Same(ids.Length, columns, 0, (backend, y) =>
            {
                using Weight w = backend.CreateWeight(new MatrixSource(rows, columns, table), format);
                backend.Embed(y, w, ids);
            });
        }

        pair.Same(ids.Length, columns, 0, (backend, y) => backend.Gather(y, Tensor(backend, rows, columns, table), ids));
        pair.Same(rows, columns, 0, (backend, y) => backend.Copy(y.Slice(3, 60), Tensor(backend, rows, columns, table).Slice(10, 60)));
    }

    [Theory]
    [MemberData(nameof(InstructionSets))]
    public void NormsAndActivationsAgree(string isa)
    {
        using Pair pair = new(isa);
        foreach ((int rows, int columns) in new[] { (1, 1), (3, 7), (9, 64), (20, 1027) })
        {
            float[] x = Random(rows * columns, 5, 3), weight = Random(columns, 6), bias = Random(columns, 7);
            pair.Same(rows, columns, 2e-5f, (backend, y) =>
                backend.LayerNorm(y, Tensor(backend, rows, columns, x), Tensor(backend, 1, columns, weight), Tensor(backend, 1, columns, bias), 1e-5f));
            pair.Same(rows, columns, 2e-5f, (backend, y) =>
                backend.RmsNorm(y, Tensor(backend, rows, columns, x), Tensor(backend, 1, columns, weight), 1e-5f));
            pair.Same(rows, columns, 2e-5f, (backend, y) =>
            {
                y.Write(x);
                backend.LayerNorm(y, y, Tensor(backend, 1, columns, weight), Tensor(backend, 1, columns, bias), 1e-5f);
            });
            foreach (Activation activation in Enum.GetValues<Activation>())
                pair.Same(rows, columns, 5e-6f, (backend, y) => backend.Activate(y, Tensor(backend, rows, columns, x), activation));
            pair.Same(rows, columns, 2e-5f, (backend, y) => backend.GatedActivation(y, Tensor(backend, rows, 2 * columns, Random(2 * rows * columns, 8))));
        }
    }

    [Theory]
    [MemberData(nameof(InstructionSets))]
    public void FullAttentionAgrees(string isa)
    {
        using Pair pair = new(isa);
        foreach ((int batch, int n, int heads, int headDim) in new[] { (1, 1, 1, 2), (2, 5, 3, 8), (2, 77, 4, 16), (1, 130, 2, 64) })
        {
            float[] qkv = Random(batch * n * 3 * heads * headDim, 9);
            pair.Same(batch * n, heads * headDim, 1e-5f, (backend, y) => backend.FullAttention(y, Tensor(backend, batch * n, 3 * heads * headDim, qkv), batch, heads));
        }
    }

    [Theory]
    [MemberData(nameof(InstructionSets))]
    public void DecoderAttentionAgrees(string isa)
    {
        using Pair pair = new(isa);
        foreach (KvFormat format in Enum.GetValues<KvFormat>().Where(pair.Backends[1].Holds))
        {
            foreach ((int heads, int kvHeads, int headDim) in new[] { (4, 4, 16), (6, 2, 8), (3, 1, 64) })
            {
                const int capacity = 90, layers = 2;
                int half = headDim / 2, width = (heads + 2 * kvHeads) * headDim;
                // A prefill of 50 rows, one of 20, then a single row, in the second layer.
                pair.Same(71, heads * headDim, 2e-4f, (backend, y) =>
                {
                    using KvCache cache = backend.CreateKvCache(new KvCacheShape(layers, kvHeads, headDim, capacity, format));
                    float[] angles = Random(capacity * half, 10);
                    var rope = new RopeTable(
                        Tensor(backend, capacity, half, [.. angles.Select(MathF.Cos)]), Tensor(backend, capacity, half, [.. angles.Select(MathF.Sin)]));
                    using Tensor query = backend.CreateTensor(71, heads * headDim), qkv = Tensor(backend, 71, width, Random(71 * width, 11));
                    foreach ((int first, int count) in new[] { (0, 50), (50, 20), (70, 1) })
                    {
                        backend.RopeAndCache(query.Slice(first, count), qkv.Slice(first, count), cache, 1, rope, first);
                        backend.CausalAttention(y.Slice(first, count), query.Slice(first, count), cache, 1, first);
                    }
                }, $"{format} {heads} {kvHeads} {headDim}");
            }
        }
    }

    [Fact]
    public void ACopiedCacheIsReadLikeTheFirst()
    {
        using Pair pair = new("scalar");
        foreach (IBackend backend in pair.Backends)
        {
            foreach (KvFormat format in Enum.GetValues<KvFormat>().Where(backend.Holds)) CacheCopies.Check(backend, format);
        }
    }

    [Theory]
    [MemberData(nameof(InstructionSets))]
    public void ArgmaxTakesTheFirstLargestAndRefusesNaN(string isa)
    {
        using Pair pair = new(isa);
        foreach (IBackend backend in pair.Backends)
        {
            float[] logits = Random(1000, 12);
            logits[321] = logits[987] = 50;
            Assert.Equal(321, backend.Argmax(Tensor(backend, 1, 1000, logits)));
            logits[999] = float.NaN;
            Assert.Throws<LlavaSpException>(() => backend.Argmax(Tensor(backend, 1, 1000, logits)));
        }
    }
}
