using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Backends.Reference;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>Attention, rope and the paged cache of the CUDA backend, against the reference on the same halves.</summary>
public sealed class CudaAttentionTests : IDisposable
{
    // Measured: 9e-4 at most, of which rounding an output to f16 is 5e-4.
    private const float Bound = 1.5e-3f;

    private readonly ReferenceBackend _reference = new();
    private readonly CudaBackend _cuda = CudaTesting.Create();

    /// <summary>Every head width: of the instances, between them, and where rows are not 16-byte aligned.</summary>
    public static TheoryData<int> HeadDims() => [8, 14, 16, 32, 64, 80, 128];

    /// <inheritdoc/>
    public void Dispose()
    {
        _cuda.Dispose();
        _reference.Dispose();
    }

    [Theory]
    [MemberData(nameof(HeadDims))]
    public void Full_attention_is_the_reference_s(int headDim)
    {
        foreach ((int n, int heads, int batch) in new[] { (1, 1, 1), (15, 3, 2), (16, 4, 1), (17, 2, 3), (63, 3, 1), (65, 1, 2), (200, 1, 1) })
            CheckFull(headDim, n, heads, batch, Precision.Operand);
        CheckFull(headDim, 33, 3, 1, Precision.Full);
    }

    [Fact]
    public void Full_attention_of_the_vision_tower_s_size_is_the_reference_s() => CheckFull(headDim: 64, n: 577, heads: 2, batch: 1, Precision.Operand);

    [Fact]
    public void Heads_of_an_odd_width_are_the_reference_s()
    {
        CheckFull(headDim: 7, n: 20, heads: 3, batch: 2, Precision.Operand);
        CheckFull(headDim: 33, n: 20, heads: 3, batch: 1, Precision.Full);
    }

    [Theory]
    [MemberData(nameof(HeadDims))]
    public void Prefill_is_the_reference_s(int headDim)
    {
        foreach ((int heads, int kvHeads, int rows, int first) in new[]
        {
            (1, 1, 65, 0), (1, 1, 33, 1), (4, 4, 40, 63), (6, 3, 17, 64), (6, 3, 130, 0), (8, 1, 17, 65), (8, 1, 16, 200), (32, 8, 9, 5),
        })
        {
            Assert.False(AttentionKernels.IsDecode(rows, heads / kvHeads));
            CheckCausal(headDim, heads, kvHeads, rows, first, Precision.Operand);
        }
    }

    [Theory]
    [MemberData(nameof(HeadDims))]
    public void Decode_is_the_reference_s(int headDim)
    {
        foreach ((int heads, int kvHeads, int rows, int first) in new[]
        {
            (1, 1, 1, 0), (1, 1, 1, 63), (4, 4, 1, 64), (6, 3, 2, 1), (8, 1, 1, 200), (8, 1, 4, 65), (32, 8, 3, 63), (1, 1, 5, 200), (4, 4, 8, 60),
            (6, 3, 7, 127), (1, 1, 16, 1), (8, 1, 2, 15),
        })
        {
            Assert.True(AttentionKernels.IsDecode(rows, heads / kvHeads));
            CheckCausal(headDim, heads, kvHeads, rows, first, Precision.Operand);
        }

        CheckCausal(headDim, 4, 2, 1, 100, Precision.Full);
        CheckCausal(headDim, 4, 2, 40, 3, Precision.Full);
    }

    [Fact]
    public void A_step_of_the_7B_decoder_is_the_reference_s() => CheckCausal(headDim: 128, heads: 32, kvHeads: 32, rows: 1, first: 1023, Precision.Operand);

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(32)]
    public void A_batch_of_sequences_of_unlike_lengths_is_decoded_each_by_itself(int splits)
    {
        const int HeadDim = 32, Heads = 4, KvHeads = 2, Rows = 2;
        int[] lengths = [2, 65, 64, 200];
        var shape = new KvCacheShape(1, KvHeads, HeadDim, 256, KvFormat.F16);
        using KvCache expectedCache = _reference.CreateKvCache(shape);
        using var cache = (CudaKvCache)_cuda.CreateKvCache(shape with { Capacity = 4 * 256 });
        // Four sequences in one cache: sequence s has the pages of positions 256 s and on, in the table's rows of four.
        using Tensor query = _cuda.CreateTensor(lengths.Length * Rows, Heads * HeadDim, Precision.Operand);
        float[] queries = RandomHalves(lengths.Length * Rows * Heads * HeadDim, 8);
        query.Write(queries);
        using Tensor output = _cuda.CreateTensor(lengths.Length * Rows, Heads * HeadDim, Precision.Operand);
        var expected = new List<float>();
        Fill(_cuda, cache, 4 * 256, 0, Heads, float.NaN, 1);
        for (int s = 0; s < lengths.Length; s++)
        {
            Fill(_cuda, cache, lengths[s], s * 256, Heads, 1, seed: 70 + s);
            Fill(_reference, expectedCache, lengths[s], 0, Heads, 1, seed: 70 + s);
            using Tensor q = CpuTesting.Tensor(_reference, Rows, Heads * HeadDim, queries[(s * Rows * Heads * HeadDim)..((s + 1) * Rows * Heads * HeadDim)]);
            using Tensor y = _reference.CreateTensor(Rows, Heads * HeadDim);
            _reference.CausalAttention(y, q, expectedCache, 0, lengths[s] - Rows);
            expected.AddRange(y.ToArray());
        }

        CudaTensor x = (CudaTensor)query, z = (CudaTensor)output;
        using DeviceBlock deviceLengths = _cuda.Device.Allocate(lengths.Length * sizeof(int));
        using DeviceBlock partial = _cuda.Device.Allocate(Math.Max(1, AttentionKernels.PartialBytes(splits, Rows, Heads, HeadDim, lengths.Length)));
        using DeviceBlock arrived = _cuda.Device.Allocate(sizeof(int) * AttentionKernels.Counters(Rows, Heads, KvHeads, lengths.Length));
        _cuda.Device.Fill(arrived.Address, 0, arrived.Bytes / sizeof(int));
        _cuda.Device.Upload<int>(deviceLengths.Address, lengths);
        new AttentionKernels(_cuda.Module, 4).Decode(
            new DecodeAttentionArguments
            {
                Output = z.Address,
                OutputStride = z.Stride,
                OutputElement = (int)z.Element,
                Query = x.Address,
                QueryStride = x.Stride,
                Keys = cache.Keys(0),
                Values = cache.Values(0),
                Pages = cache.Pages,
                PageStride = 4,
                Arrived = arrived.Address,
                Lengths = deviceLengths.Address,
                Rows = Rows,
                Heads = Heads,
                KvHeads = KvHeads,
                HeadDim = HeadDim,
                Scale = AttentionKernels.Scale(HeadDim),
            },
            lengths.Length, splits, partial.Address);
        Near([.. expected], output.ToArray(), $"{splits} splits");
    }

    [Theory]
    [InlineData(8, 2, 1)]
    [InlineData(14, 3, 1)]
    [InlineData(16, 4, 2)]
    [InlineData(64, 4, 4)]
    [InlineData(80, 2, 2)]
    [InlineData(128, 8, 1)]
    public void Rope_writes_rotated_queries_and_the_cache(int headDim, int heads, int kvHeads)
    {
        foreach (Precision precision in new[] { Precision.Operand, Precision.Full })
        {
            const int Layers = 3, Rows = 70, First = 60;
            var shape = new KvCacheShape(Layers, kvHeads, headDim, 160, KvFormat.F16);
            using KvCache expectedCache = _reference.CreateKvCache(shape), cache = _cuda.CreateKvCache(shape);
            float[] angles = CpuTesting.Random(160 * (headDim / 2), 3);
            for (int layer = 0; layer < Layers; layer++)
            {
                float[] qkv = RandomHalves(Rows * (heads + 2 * kvHeads) * headDim, 4 + layer);
                float[] expected = Rotate(_reference, expectedCache, layer), actual = Rotate(_cuda, cache, layer);
                Near(expected, actual, $"queries of {headDim}");

                float[] Rotate(IBackend backend, KvCache kv, int index)
                {
                    using Tensor x = backend.CreateTensor(Rows, (heads + 2 * kvHeads) * headDim, precision);
                    x.Write(qkv);
                    using Tensor query = backend.CreateTensor(Rows, heads * headDim, Precision.Operand);
                    using Tensor cos = CpuTesting.Tensor(backend, 160, headDim / 2, [.. angles.Select(MathF.Cos)]);
                    using Tensor sin = CpuTesting.Tensor(backend, 160, headDim / 2, [.. angles.Select(MathF.Sin)]);
                    using (Tensor begin = CpuTesting.Tensor(backend, First, x.Columns, new float[First * x.Columns]))
                    using (Tensor unused = backend.CreateTensor(First, heads * headDim, Precision.Operand))
                        backend.RopeAndCache(unused, begin, kv, index, new RopeTable(cos, sin), 0);
                    backend.RopeAndCache(query, x, kv, index, new RopeTable(cos, sin), First);
                    return query.ToArray();
                }
            }

            // Layers are written one after the other and read only now: what landed in a neighbour's page would show.
            for (int layer = 0; layer < Layers; layer++)
            {
                float[] queries = RandomHalves(Rows * heads * headDim, 20 + layer);
                Near(Attend(_reference, expectedCache), Attend(_cuda, cache), $"layer {layer}, heads of {headDim}");

                float[] Attend(IBackend backend, KvCache kv)
                {
                    using Tensor q = backend.CreateTensor(Rows, heads * headDim, Precision.Operand), y = backend.CreateTensor(Rows, heads * headDim);
                    q.Write(queries);
                    backend.CausalAttention(y, q, kv, layer, First);
                    return y.ToArray();
                }
            }
        }
    }

    [Theory]
    [InlineData(64, 4f)]
    [InlineData(64, 256f)]
    [InlineData(128, 4096f)]
    [InlineData(14, 256f)]
    public void Scores_of_any_size_give_finite_weights(int headDim, float scale)
    {
        // Small integers times a power of two: the products are exact, so that equal scores stay equal and others are far apart.
        float[] whole = [.. CpuTesting.Random(130 * 3 * headDim, 9).Select(x => scale * MathF.Round(x * 2))];
        float[] expected = Full(_reference), actual = Full(_cuda);
        Near(expected, actual, $"scores of {scale}");

        float[] Full(IBackend backend)
        {
            using Tensor x = backend.CreateTensor(130, 3 * headDim, Precision.Operand), y = backend.CreateTensor(130, headDim);
            x.Write(whole);
            backend.FullAttention(y, x, 1, 1);
            return y.ToArray();
        }
    }

    [Fact]
    public void NaN_stays_in_the_row_that_has_it()
    {
        const int N = 70, HeadDim = 16;
        float[] qkv = RandomHalves(N * 3 * HeadDim, 5);
        qkv[3 * 3 * HeadDim] = float.NaN;
        using Tensor x = _cuda.CreateTensor(N, 3 * HeadDim, Precision.Operand), y = _cuda.CreateTensor(N, HeadDim);
        x.Write(qkv);
        _cuda.FullAttention(y, x, 1, 1);
        float[] output = y.ToArray();
        for (int row = 0; row < N; row++) Assert.All(output[(row * HeadDim)..((row + 1) * HeadDim)], value => Assert.Equal(row == 3, float.IsNaN(value)));
    }

    [Fact]
    public void The_same_call_gives_the_same_bits()
    {
        float[] first = CheckCausal(64, 8, 1, 4, 300, Precision.Full), second = CheckCausal(64, 8, 1, 4, 300, Precision.Full);
        Assert.Equal(first, second);
    }

    [Fact]
    public void Pages_are_allocated_when_they_are_written()
    {
        var shape = new KvCacheShape(2, 2, 16, 4096, KvFormat.F16);
        long before = _cuda.Device.Pool.UsedBytes, page = 2L * 2 * 2 * 16 * 64 * 2;
        using (var cache = (CudaKvCache)_cuda.CreateKvCache(shape))
        {
            Assert.InRange(_cuda.Device.Pool.UsedBytes - before, 256, 4096);
            cache.Reserve(1);
            cache.Reserve(64);
            Assert.Equal(64, cache.Reserved);
            Assert.InRange(_cuda.Device.Pool.UsedBytes - before, page, page + 4096);
            cache.Reserve(65);
            Assert.Equal(128, cache.Reserved);
            Assert.Throws<ArgumentException>(() => cache.Reserve(4097));
            long allocated = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 65; i <= 128; i++) cache.Reserve(i);
            Assert.Equal(allocated, GC.GetAllocatedBytesForCurrentThread());
        }

        Assert.Equal(before, _cuda.Device.Pool.UsedBytes);
    }

    [Fact]
    public void Wrong_shapes_are_refused_before_the_device_sees_them()
    {
        using Tensor qkv = _cuda.CreateTensor(4, 96, Precision.Operand), full = _cuda.CreateTensor(4, 96), y = _cuda.CreateTensor(4, 32, Precision.Operand);
        using KvCache cache = _cuda.CreateKvCache(new KvCacheShape(1, 2, 16, 64, KvFormat.F16));
        Assert.Throws<ArgumentException>(() => _cuda.FullAttention(y, qkv, 3, 2));
        Assert.Throws<ArgumentException>(() => _cuda.FullAttention(y, full, 1, 2));
        Assert.Throws<ArgumentException>(() => _cuda.CausalAttention(y, y, cache, 0, 0));
        Assert.Throws<ArgumentException>(() => _cuda.CausalAttention(y, y, cache, 1, 0));
        Assert.Throws<ArgumentException>(() => _cuda.CreateKvCache(new KvCacheShape(1, 2, 16, 64, KvFormat.F32)));
        Assert.Throws<ArgumentException>(() => _cuda.CreateKvCache(new KvCacheShape(1, 2, 256, 64, KvFormat.F16)));
    }

    private void CheckFull(int headDim, int n, int heads, int batch, Precision precision)
    {
        float[] qkv = RandomHalves(batch * n * 3 * heads * headDim, n + headDim);
        Near(Run(_reference), Run(_cuda), $"head {headDim}, {n} rows, {heads} heads, batch {batch}");

        float[] Run(IBackend backend)
        {
            using Tensor x = backend.CreateTensor(batch * n, 3 * heads * headDim, Precision.Operand);
            using Tensor y = backend.CreateTensor(batch * n, heads * headDim, precision);
            x.Write(qkv);
            backend.FullAttention(y, x, batch, heads);
            return y.ToArray();
        }
    }

    /// <summary>The last <paramref name="rows"/> rows over a cache that holds NaN wherever nothing was written.</summary>
    private float[] CheckCausal(int headDim, int heads, int kvHeads, int rows, int first, Precision precision)
    {
        // Room for pages beyond the last, full of NaN as well.
        int length = first + rows, capacity = length + 70;
        var shape = new KvCacheShape(1, kvHeads, headDim, capacity, KvFormat.F16);
        using KvCache expectedCache = _reference.CreateKvCache(shape), cache = _cuda.CreateKvCache(shape);
        Fill(_cuda, cache, capacity, 0, heads, float.NaN, 1);
        Fill(_cuda, cache, length, 0, heads, 1, seed: 2);
        Fill(_reference, expectedCache, length, 0, heads, 1, seed: 2);
        float[] queries = RandomHalves(rows * heads * headDim, 3);
        float[] actual = Run(_cuda, cache);
        Near(Run(_reference, expectedCache), actual, $"head {headDim}, {heads}/{kvHeads} heads, {rows} rows from {first}");
        return actual;

        float[] Run(IBackend backend, KvCache kv)
        {
            using Tensor q = backend.CreateTensor(rows, heads * headDim, Precision.Operand), y = backend.CreateTensor(rows, heads * headDim, precision);
            q.Write(queries);
            backend.CausalAttention(y, q, kv, 0, first);
            return y.ToArray();
        }
    }

    /// <summary>Writes random keys and values times <paramref name="scale"/> to positions of layer 0, not rotated.</summary>
    private static void Fill(IBackend backend, KvCache cache, int rows, int first, int heads, float scale, int seed)
    {
        int headDim = cache.Shape.HeadDim, columns = (heads + 2 * cache.Shape.KvHeads) * headDim;
        float[] values = RandomHalves(rows * columns, seed);
        for (int i = 0; i < values.Length; i++) values[i] *= scale;
        using Tensor qkv = backend.CreateTensor(rows, columns, Precision.Operand), query = backend.CreateTensor(rows, heads * headDim, Precision.Operand);
        qkv.Write(values);
        float[] ones = new float[(first + rows) * (headDim / 2)];
        Array.Fill(ones, 1);
        using Tensor cos = CpuTesting.Tensor(backend, first + rows, headDim / 2, ones);
        using Tensor sin = CpuTesting.Tensor(backend, first + rows, headDim / 2, new float[ones.Length]);
        backend.RopeAndCache(query, qkv, cache, 0, new RopeTable(cos, sin), first);
    }

    private static float[] RandomHalves(int count, int seed) => [.. CpuTesting.Random(count, seed).Select(x => (float)(Half)x)];

    // Relative to the element and the root of the mean square of all.
    private static void Near(float[] expected, float[] actual, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        float size = MathF.Sqrt(expected.Average(x => x * x));
        for (int i = 0; i < expected.Length; i++)
        {
            // Written so that NaN fails.
            float bound = Bound * (size + MathF.Abs(expected[i]));
            if (!(MathF.Abs(expected[i] - actual[i]) <= bound)) Assert.Fail($"{what}: element {i} is {actual[i]}, not {expected[i]}");
        }
    }
}
