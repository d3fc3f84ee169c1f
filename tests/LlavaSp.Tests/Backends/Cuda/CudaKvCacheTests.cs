using System.Runtime.InteropServices;
using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Backends.Cuda.Driver;
using LlavaSp.Quantization;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>Rope and the paged key-value cache of the CUDA backend: what is written, where, and what reading it costs.</summary>
public sealed class CudaKvCacheTests
{
    private const int Page = CudaKvCache.PagePositions;

    public static TheoryData<int, int, int, KvFormat> RopeShapes() =>
    [
        .. from shape in new[] { (8, 2, 1), (14, 3, 1), (16, 4, 2), (64, 4, 4), (80, 2, 2), (126, 1, 1), (128, 8, 1) }
           from format in new[] { KvFormat.F16, KvFormat.Int8 }
           select (shape.Item1, shape.Item2, shape.Item3, format),
    ];

    [Theory]
    [MemberData(nameof(RopeShapes))]
    public void Rope_writes_rotated_queries_and_the_cache(int headDim, int heads, int kvHeads, KvFormat format)
    {
        (Element, Precision)[] sources = [(Element.F16, Precision.Operand), (Element.F16, Precision.Full), (Element.BF16, Precision.Operand)];
        foreach ((Element operand, Precision precision) in sources)
        {
            const int Layers = 3, Rows = 70, First = 60;
            using AttentionPair pair = new(operand);
            var shape = new KvCacheShape(Layers, kvHeads, headDim, 160, format);
            using KvCache expectedCache = pair.Reference.CreateKvCache(shape), cache = pair.Cuda.CreateKvCache(shape);
            float[] angles = CpuTesting.Random(160 * (headDim / 2), 3);
            for (int layer = 0; layer < Layers; layer++)
            {
                float[] qkv = pair.Random(Rows * (heads + 2 * kvHeads) * headDim, 4 + layer);
                AttentionPair.Near(Rotate(pair.Reference, expectedCache, layer), Rotate(pair.Cuda, cache, layer), 1, $"queries of {headDim}");

                float[] Rotate(IBackend backend, KvCache kv, int index)
                {
                    using Tensor x = backend.CreateTensor(Rows, (heads + 2 * kvHeads) * headDim, precision);
                    x.Write(qkv);
                    using Tensor query = backend.CreateTensor(Rows, heads * headDim, Precision.Query);
                    using Tensor cos = CpuTesting.Tensor(backend, 160, headDim / 2, [.. angles.Select(MathF.Cos)]);
                    using Tensor sin = CpuTesting.Tensor(backend, 160, headDim / 2, [.. angles.Select(MathF.Sin)]);
                    using (Tensor begin = CpuTesting.Tensor(backend, First, x.Columns, new float[First * x.Columns]))
                    using (Tensor unused = backend.CreateTensor(First, heads * headDim, Precision.Query))
                        backend.RopeAndCache(unused, begin, kv, index, new RopeTable(cos, sin), 0);
                    backend.RopeAndCache(query, x, kv, index, new RopeTable(cos, sin), First);
                    return query.ToArray();
                }
            }

            // Layers are written one after the other and read only now: what landed in a neighbour's page would show.
            for (int layer = 0; layer < Layers; layer++)
            {
                float[] queries = AttentionPair.Halves(Rows * heads * headDim, 20 + layer);
                AttentionPair.Near(
                    AttentionPair.Causal(pair.Reference, expectedCache, queries, Rows, First, Precision.Full, layer),
                    AttentionPair.Causal(pair.Cuda, cache, queries, Rows, First, Precision.Full, layer), AttentionPair.Coarse(format),
                    $"layer {layer}, heads of {headDim}");
            }
        }
    }

    [Theory]
    [InlineData(KvFormat.F16)]
    [InlineData(KvFormat.Int8)]
    public void A_copied_cache_is_read_like_the_first(KvFormat format)
    {
        using AttentionPair pair = new();
        CacheCopies.Check(pair.Cuda, format);
    }

    /// <summary>Integers and scales in the cache are those of the quantiser, to the bit.</summary>
    [Theory]
    [InlineData(8)]
    [InlineData(14)]
    [InlineData(80)]
    [InlineData(126)]
    [InlineData(128)]
    public void Int8_in_memory_is_what_the_quantiser_makes(int headDim)
    {
        const int Rows = 3, First = 63, KvHeads = 2;
        using AttentionPair pair = new();
        using var cache = (CudaKvCache)pair.Cuda.CreateKvCache(new KvCacheShape(1, KvHeads, headDim, 128, KvFormat.Int8));
        int columns = 3 * KvHeads * headDim, line = (headDim + 15) / 16 * 16;
        float[] qkv = CpuTesting.Random(Rows * columns, 6);
        // Magnitudes far apart; halves between two integers; a head of zeros; the smallest of all scales.
        for (int i = 0; i < qkv.Length; i++) qkv[i] *= MathF.ScaleB(1, i / headDim * 7 % 41 - 20);
        for (int i = 0; i < headDim; i++) qkv[columns - headDim + i] = i == 0 ? -127 : i % 120 + 0.5f;
        qkv.AsSpan(columns + KvHeads * headDim, headDim).Clear();
        qkv.AsSpan(columns + (KvHeads + 1) * headDim, headDim).Fill(1e-37f);
        AttentionPair.Write(pair.Cuda, cache, qkv, Rows, First, KvHeads, Precision.Full);
        int[] pages = [.. MemoryMarshal.Cast<byte, int>(pair.Cuda.Device.Fetch(cache.Pages, 2 * sizeof(int)))];
        for (int row = 0; row < Rows; row++)
        {
            for (int head = 0; head < 2 * KvHeads; head++)
            {
                int position = First + row, headBytes = Page * (line + sizeof(float));
                ulong start = (head < KvHeads ? cache.Keys(0) : cache.Values(0)) + (ulong)((pages[position / Page] * KvHeads + head % KvHeads) * headBytes);
                var expected = new sbyte[headDim];
                float scale = KvQuantizer.Quantize(qkv.AsSpan(row * columns + (KvHeads + head) * headDim, headDim), expected);
                byte[] stored = pair.Cuda.Device.Fetch(start + (ulong)(position % Page * line), headDim).ToArray();
                Assert.Equal(expected, Array.ConvertAll(stored, static b => (sbyte)(b - 128)));
                ReadOnlySpan<byte> bits = pair.Cuda.Device.Fetch(start + (ulong)(Page * line + position % Page * sizeof(float)), sizeof(float));
                Assert.Equal(scale, MemoryMarshal.Read<float>(bits));
            }
        }
    }

    /// <summary>Keys and values of positions whose magnitudes lie far apart: no weight times scale is lost, whichever comes first.</summary>
    [Theory]
    [InlineData(1f)]
    [InlineData(-1f)]
    [InlineData(0f)]
    public void Scales_of_any_size_are_kept_apart(float slope)
    {
        // 1e-6 to 1e+6 along the positions or back, or all of them tiny.
        const int HeadDim = 64, Length = 150;
        float Scale(int position) => slope == 0 ? 3e-7f : MathF.Pow(10, slope * (12f * position / Length - 6));
        foreach (int rows in new[] { 1, 40 })
        {
            using AttentionPair pair = new(Element.BF16);
            var shape = new KvCacheShape(1, 1, HeadDim, Length, KvFormat.Int8);
            using KvCache expectedCache = pair.Reference.CreateKvCache(shape), cache = pair.Cuda.CreateKvCache(shape);
            // No query: every position has the same weight.
            float[] queries = new float[rows * HeadDim];
            pair.Fill(pair.Reference, expectedCache, Length, 0, 1, Scale, 4);
            pair.Fill(pair.Cuda, cache, Length, 0, 1, Scale, 4);
            float[] expected = AttentionPair.Causal(pair.Reference, expectedCache, queries, rows, Length - rows, Precision.Full);
            float[] actual = AttentionPair.Causal(pair.Cuda, cache, queries, rows, Length - rows, Precision.Full);
            for (int row = 0; row < rows; row++)
            {
                Range one = (row * HeadDim)..((row + 1) * HeadDim);
                AttentionPair.Near(expected[one], actual[one], AttentionPair.Coarse(shape.Format), $"slope {slope}, row {row}");
            }
        }
    }

    [Theory]
    [InlineData(KvFormat.F16)]
    [InlineData(KvFormat.Int8)]
    public void What_is_not_finite_is_seen_by_the_rows_behind_it(KvFormat format)
    {
        const int HeadDim = 32;
        foreach (float bad in new[] { float.NaN, float.PositiveInfinity })
        {
            using AttentionPair pair = new();
            using KvCache cache = pair.Cuda.CreateKvCache(new KvCacheShape(1, 1, HeadDim, 64, format));
            float[] qkv = AttentionPair.Halves(12 * 3 * HeadDim, 5);
            qkv[9 * 3 * HeadDim + 2 * HeadDim + 3] = bad;
            AttentionPair.Write(pair.Cuda, cache, qkv, 12, 0, 1, Precision.Operand);
            foreach (int first in new[] { 8, 9, 11 })
            {
                float[] output = AttentionPair.Causal(pair.Cuda, cache, AttentionPair.Halves(HeadDim, 6), 1, first, Precision.Full);
                // An f16 cache saturates infinity.
                bool spreads = first >= 9 && (float.IsNaN(bad) || format == KvFormat.Int8);
                Assert.Equal(spreads, float.IsNaN(output[3]));
                Assert.Equal(spreads && format == KvFormat.Int8, float.IsNaN(output[4]));
            }
        }
    }

    /// <summary>What does not fit a half becomes the largest one, in queries as in the cache, on both backends.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Halves_saturate(bool bf16)
    {
        const int HeadDim = 16;
        using AttentionPair pair = new(bf16 ? Element.BF16 : Element.F16);
        float[] qkv = new float[3 * HeadDim];
        (qkv[0], qkv[1], qkv[2]) = (1e20f, -70000, 60000);
        (qkv[HeadDim], qkv[2 * HeadDim], qkv[2 * HeadDim + 9]) = (1e5f, 3e38f, -1e30f);
        var shape = new KvCacheShape(1, 1, HeadDim, 64, KvFormat.F16);
        using KvCache expectedCache = pair.Reference.CreateKvCache(shape), cache = pair.Cuda.CreateKvCache(shape);
        float[] stored = bf16 ? CudaTesting.Rounded(qkv, Element.BF16) : qkv;
        float[] queries = AttentionPair.Write(pair.Cuda, cache, stored, 1, 0, 1, bf16 ? Precision.Operand : Precision.Full);
        Assert.Equal([65504, -65504, (float)(Half)stored[2]], queries[..3]);
        AttentionPair.Write(pair.Reference, expectedCache, stored, 1, 0, 1, Precision.Full);
        foreach ((IBackend backend, KvCache kv) in new[] { ((IBackend)pair.Reference, expectedCache), (pair.Cuda, cache) })
        {
            // One position: the output is its value.
            float[] output = AttentionPair.Causal(backend, kv, new float[HeadDim], 1, 0, Precision.Full);
            Assert.Equal(65504, output[0]);
            Assert.Equal(0, output[1]);
            Assert.Equal(-65504, output[9]);
        }
    }

    /// <summary>Kernels of both formats take a batch of sequences: lengths from device memory, pages of all mixed in one cache.</summary>
    [Theory]
    [InlineData(1, KvFormat.F16)]
    [InlineData(3, KvFormat.F16)]
    [InlineData(32, KvFormat.F16)]
    [InlineData(1, KvFormat.Int8)]
    [InlineData(3, KvFormat.Int8)]
    [InlineData(32, KvFormat.Int8)]
    public void A_batch_of_sequences_of_unlike_lengths_is_written_and_decoded_each_by_itself(int splits, KvFormat format)
    {
        const int HeadDim = 32, Heads = 4, KvHeads = 2, Rows = 2, PagesEach = 4;
        const int Width = Heads * HeadDim, Columns = (Heads + 2 * KvHeads) * HeadDim;
        int[] lengths = [2, 65, 64, 200];
        using AttentionPair pair = new();
        CudaDevice device = pair.Cuda.Device;
        var shape = new KvCacheShape(1, KvHeads, HeadDim, PagesEach * Page, format);
        using var cache = (CudaKvCache)pair.Cuda.CreateKvCache(shape with { Capacity = lengths.Length * PagesEach * Page });
        pair.Fill(pair.Cuda, cache, cache.Shape.Capacity, 0, Heads, static _ => float.NaN, 1);

        // Page i of sequence s is page 5 * (4 s + i) mod 16 of the cache.
        int[] numbers = [.. MemoryMarshal.Cast<byte, int>(device.Fetch(cache.Pages, lengths.Length * PagesEach * sizeof(int)))];
        using DeviceBlock table = device.Allocate(numbers.Length * sizeof(int)), deviceLengths = device.Allocate(lengths.Length * sizeof(int));
        device.Upload<int>(table.Address, [.. Enumerable.Range(0, numbers.Length).Select(i => numbers[5 * i % numbers.Length])]);
        device.Upload<int>(deviceLengths.Address, lengths);
        using Tensor cos = CpuTesting.Tensor(pair.Cuda, 256, HeadDim / 2, [.. Enumerable.Repeat(1f, 128 * HeadDim)]);
        using Tensor sin = CpuTesting.Tensor(pair.Cuda, 256, HeadDim / 2, new float[128 * HeadDim]);
        var kernels = new AttentionKernels(pair.Cuda.Module, 4);

        float[][] qkv = [.. lengths.Select((length, s) => AttentionPair.Halves(length * Columns, 70 + s))];
        for (int s = 0; s < lengths.Length; s++)
            if (lengths[s] > Rows) Rope(qkv[s][..^(Rows * Columns)], 1, lengths[s] - Rows, table.Address + (ulong)(s * PagesEach * sizeof(int)), 0).Dispose();
        using Tensor query = Rope([.. qkv.SelectMany(x => x[^(Rows * Columns)..])], lengths.Length, Rows, table.Address, deviceLengths.Address);

        var expected = new List<float>();
        for (int s = 0; s < lengths.Length; s++)
        {
            using KvCache one = pair.Reference.CreateKvCache(shape);
            float[] queries = AttentionPair.Write(pair.Reference, one, qkv[s], lengths[s], 0, Heads, Precision.Operand);
            expected.AddRange(AttentionPair.Causal(pair.Reference, one, queries[^(Rows * Width)..], Rows, lengths[s] - Rows, Precision.Full));
        }

        using Tensor output = pair.Cuda.CreateTensor(lengths.Length * Rows, Width, Precision.Operand);
        CudaTensor x = (CudaTensor)query, z = (CudaTensor)output;
        using DeviceBlock partial = device.Allocate(Math.Max(1, AttentionKernels.PartialBytes(splits, Rows, Heads, HeadDim, lengths.Length)));
        using DeviceBlock arrived = device.Allocate(sizeof(int) * AttentionKernels.Counters(Rows, Heads, KvHeads, lengths.Length));
        device.Fill(arrived.Address, 0, arrived.Bytes / sizeof(int));
        kernels.Decode(
            new DecodeAttentionArguments
            {
                Output = z.Address,
                OutputStride = z.Stride,
                OutputElement = (int)z.Element,
                Query = x.Address,
                QueryStride = x.Stride,
                Keys = cache.Keys(0),
                Values = cache.Values(0),
                Pages = table.Address,
                PageStride = PagesEach,
                Arrived = arrived.Address,
                Lengths = deviceLengths.Address,
                Rows = Rows,
                Heads = Heads,
                KvHeads = KvHeads,
                HeadDim = HeadDim,
                Scale = AttentionKernels.Scale(HeadDim),
            },
            format, lengths.Length, splits, partial.Address);
        AttentionPair.Near([.. expected], output.ToArray(), AttentionPair.Coarse(format), $"{splits} splits");
        int[] left = [.. MemoryMarshal.Cast<byte, int>(device.Fetch(arrived.Address, (int)arrived.Bytes / sizeof(int) * sizeof(int)))];
        Assert.All(left, static counter => Assert.Equal(0, counter));

        Tensor Rope(float[] values, int batch, int rows, ulong pages, ulong batchLengths)
        {
            using Tensor source = pair.Cuda.CreateTensor(batch * rows, Columns, Precision.Operand);
            source.Write(values);
            Tensor queries = pair.Cuda.CreateTensor(batch * rows, Width, Precision.Query);
            CudaTensor from = (CudaTensor)source, to = (CudaTensor)queries, c = (CudaTensor)cos, n = (CudaTensor)sin;
            kernels.Rope(
                new RopeAndCacheArguments
                {
                    Query = to.Address,
                    QueryStride = to.Stride,
                    Keys = cache.Keys(0),
                    Values = cache.Values(0),
                    Qkv = from.Address,
                    Stride = from.Stride,
                    Cos = c.Address,
                    CosStride = c.Stride,
                    Sin = n.Address,
                    SinStride = n.Stride,
                    Pages = pages,
                    PageStride = PagesEach,
                    Lengths = batchLengths,
                    Rows = rows,
                    Heads = Heads,
                    KvHeads = KvHeads,
                    HeadDim = HeadDim,
                },
                from.Element, format, batch);
            pair.Cuda.Synchronize();
            return queries;
        }
    }

    /// <summary>A decode step of 4 of 7B's heads at position 1024 reads keys, values and scales once, whole sectors of them, without bank conflicts.</summary>
    [Theory]
    [InlineData(KvFormat.F16)]
    [InlineData(KvFormat.Int8)]
    public void A_decode_step_moves_what_it_must(KvFormat format)
    {
        const int HeadDim = 128, Heads = 4, Length = 1024;
        using CudaPair cuda = new();
        var shape = new KvCacheShape(1, Heads, HeadDim, Length, format);
        using KvCache cache = cuda.Cuda.CreateKvCache(shape);
        AttentionPair.Write(cuda.Cuda, cache, AttentionPair.Halves(Length * 3 * Heads * HeadDim, 1), Length, 0, Heads, Precision.Operand);
        float[] query = AttentionPair.Halves(Heads * HeadDim, 2);
        IReadOnlyDictionary<string, KernelCount> counts = EmulatorCounts.Of(cuda, () => AttentionPair.Causal(cuda.Cuda, cache, query, 1, Length - 1, Precision.Operand));
        KernelCount count = counts[format == KvFormat.Int8 ? "decode_attention_int8_128" : "decode_attention_128"];
        TestContext.Current.TestOutputHelper?.WriteLine($"{shape.ByteLength} bytes of keys and values: {count}");
        // What must come from memory and what goes there, partial results of several splits included; then with all that is asked of the caches.
        Assert.InRange(32.0 * count.LoadDifferentSectors + count.StoreBytes, shape.ByteLength, 1.03 * shape.ByteLength);
        Assert.InRange(32.0 * count.LoadSectors + count.StoreBytes, shape.ByteLength, 1.05 * shape.ByteLength);
        Assert.True(count.LoadLeastSectors >= 0.95 * count.LoadSectors, count.ToString());
        Assert.True(count.SharedWavefronts == count.SharedLeastWavefronts, count.ToString());
    }

    [Theory]
    [InlineData(KvFormat.F16, 16 * 2)]
    [InlineData(KvFormat.Int8, 16 + 4)]
    public void Pages_are_allocated_when_they_are_written(KvFormat format, int bytesOfHead)
    {
        using CudaBackend cuda = CudaTesting.Create();
        var shape = new KvCacheShape(2, 2, 16, 4096, format);
        Assert.Equal(2L * 2 * 2 * 4096 * bytesOfHead, shape.ByteLength);
        long before = cuda.Device.Pool.UsedBytes, page = 2L * 2 * 2 * Page * bytesOfHead;
        using (var cache = (CudaKvCache)cuda.CreateKvCache(shape))
        {
            Assert.InRange(cuda.Device.Pool.UsedBytes - before, 256, 4096);
            cache.Reserve(1);
            cache.Reserve(64);
            Assert.Equal(64, cache.Reserved);
            Assert.InRange(cuda.Device.Pool.UsedBytes - before, page, page + 4096);
            cache.Reserve(65);
            Assert.Equal(128, cache.Reserved);
            Assert.Throws<ArgumentException>(() => cache.Reserve(4097));
            long allocated = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 65; i <= 128; i++) cache.Reserve(i);
            Assert.Equal(allocated, GC.GetAllocatedBytesForCurrentThread());
        }

        Assert.Equal(before, cuda.Device.Pool.UsedBytes);
    }
}
