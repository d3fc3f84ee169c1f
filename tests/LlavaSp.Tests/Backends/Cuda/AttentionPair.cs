using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Backends.Reference;
using LlavaSp.Quantization;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>Attention on the CUDA backend and on the reference, on the same numbers and over caches of the same format.</summary>
/// <param name="operand">What qkv and outputs hold, F16 or BF16; queries over a cache are f16.</param>
internal sealed class AttentionPair(Element operand = Element.F16) : IDisposable
{
    // Measured: 9e-4 at most with f16, of which rounding an output is 5e-4; bf16 has three bits less.
    private const float Bound = 1.5e-3f;

    public ReferenceBackend Reference { get; } = new();

    public CudaBackend Cuda { get; } = CudaTesting.Create(weights: operand == Element.BF16 ? WeightFormat.BF16 : null);

    public void Dispose()
    {
        Cuda.Dispose();
        Reference.Dispose();
    }

    public void CheckFull(int headDim, int n, int heads, int batch, Precision precision)
    {
        float[] qkv = Random(batch * n * 3 * heads * headDim, n + headDim);
        Near(Full(Reference, qkv, headDim, n, heads, batch, precision), Full(Cuda, qkv, headDim, n, heads, batch, precision), Coarse(operand),
            $"head {headDim}, {n} rows, {heads} heads, batch {batch}");
    }

    public float[] Full(IBackend backend, float[] qkv, int headDim, int n, int heads, int batch, Precision precision)
    {
        using Tensor x = backend.CreateTensor(batch * n, 3 * heads * headDim, Precision.Operand);
        using Tensor y = backend.CreateTensor(batch * n, heads * headDim, precision);
        x.Write(qkv);
        backend.FullAttention(y, x, batch, heads);
        return y.ToArray();
    }

    /// <summary>The last <paramref name="rows"/> rows over a cache that holds NaN wherever nothing was written.</summary>
    public float[] CheckCausal(int headDim, int heads, int kvHeads, int rows, int first, Precision precision, KvFormat format)
    {
        // Room for pages beyond the last, full of NaN as well.
        int length = first + rows, capacity = length + 70;
        var shape = new KvCacheShape(1, kvHeads, headDim, capacity, format);
        using KvCache expectedCache = Reference.CreateKvCache(shape), cache = Cuda.CreateKvCache(shape);
        Fill(Cuda, cache, capacity, 0, heads, static _ => float.NaN, 1);
        Fill(Cuda, cache, length, 0, heads, static _ => 1, seed: 2);
        Fill(Reference, expectedCache, length, 0, heads, static _ => 1, seed: 2);
        float[] queries = Halves(rows * heads * headDim, 3), actual = Causal(Cuda, cache, queries, rows, first, precision);
        Near(Causal(Reference, expectedCache, queries, rows, first, precision), actual, (precision == Precision.Operand ? Coarse(operand) : 1) * Coarse(format),
            $"head {headDim}, {heads}/{kvHeads} heads, {rows} rows from {first}, {format}");
        return actual;
    }

    /// <summary>Attention of rows of queries over layer 0.</summary>
    public static float[] Causal(IBackend backend, KvCache cache, float[] queries, int rows, int first, Precision precision, int layer = 0)
    {
        int columns = queries.Length / rows;
        using Tensor q = backend.CreateTensor(rows, columns, Precision.Query), y = backend.CreateTensor(rows, columns, precision);
        q.Write(queries);
        backend.CausalAttention(y, q, cache, layer, first);
        return y.ToArray();
    }

    /// <summary>Writes random keys and values, those of a position times its <paramref name="scale"/>, to positions of layer 0, not rotated.</summary>
    public void Fill(IBackend backend, KvCache cache, int rows, int first, int heads, Func<int, float> scale, int seed)
    {
        int columns = (heads + 2 * cache.Shape.KvHeads) * cache.Shape.HeadDim;
        float[] values = Random(rows * columns, seed);
        for (int i = 0; i < values.Length; i++) values[i] *= scale(first + i / columns);
        Write(backend, cache, CudaTesting.Rounded(values, operand), rows, first, heads, Precision.Operand);
    }

    /// <summary>Writes keys and values of qkv [rows, (heads + 2 * kvHeads) * headDim] to positions of layer 0, not rotated; returns the queries.</summary>
    public static float[] Write(IBackend backend, KvCache cache, float[] qkv, int rows, int first, int heads, Precision precision)
    {
        int headDim = cache.Shape.HeadDim;
        using Tensor x = backend.CreateTensor(rows, qkv.Length / rows, precision), query = backend.CreateTensor(rows, heads * headDim, Precision.Query);
        x.Write(qkv);
        float[] ones = new float[(first + rows) * (headDim / 2)];
        Array.Fill(ones, 1);
        using Tensor cos = CpuTesting.Tensor(backend, first + rows, headDim / 2, ones);
        using Tensor sin = CpuTesting.Tensor(backend, first + rows, headDim / 2, new float[ones.Length]);
        backend.RopeAndCache(query, x, cache, 0, new RopeTable(cos, sin), first);
        return query.ToArray();
    }

    /// <summary>Numbers of the operands' type.</summary>
    public float[] Random(int count, int seed) => CudaTesting.Rounded(CpuTesting.Random(count, seed), operand);

    public static float[] Halves(int count, int seed) => CudaTesting.Rounded(CpuTesting.Random(count, seed), Element.F16);

    /// <summary>How much coarser results of an element type are than f16.</summary>
    public static float Coarse(Element element) => element == Element.BF16 ? 8 : 1;

    /// <summary>How much coarser results over a cache are than over f16, where the largest weight is exactly 1; times a scale it is rounded.</summary>
    public static float Coarse(KvFormat format) => format == KvFormat.Int8 ? 1.5f : 1;

    /// <summary>Compares relative to the element and the root of the mean square of all.</summary>
    public static void Near(float[] expected, float[] actual, float times, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        float size = MathF.Sqrt(expected.Average(x => x * x));
        for (int i = 0; i < expected.Length; i++)
        {
            // Written so that NaN fails.
            float bound = times * Bound * (size + MathF.Abs(expected[i]));
            if (!(MathF.Abs(expected[i] - actual[i]) <= bound)) Assert.Fail($"{what}: element {i} is {actual[i]}, not {expected[i]}");
        }
    }
}
