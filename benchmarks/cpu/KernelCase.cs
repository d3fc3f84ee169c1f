using LlavaSp.Backends;
using LlavaSp.Backends.Cpu;
using LlavaSp.Quantization;

namespace LlavaSp.Benchmarks;

/// <summary>One kernel at one size, and what a pass over it costs at least.</summary>
/// <param name="name">What the table calls it.</param>
/// <param name="bytes">Bytes that a pass must read from memory: weights, or keys and values; 0 where all lies in caches.</param>
/// <param name="operations">Operations of a pass; a multiply-add counts as two.</param>
/// <param name="integers">Whether the products are of 8-bit integers.</param>
/// <param name="prepare">Makes what the pass works on and returns the pass.</param>
public sealed class KernelCase(string name, double bytes, double operations, bool integers, Func<IBackend, List<IDisposable>, Action> prepare)
{
    /// <summary>More than any cache holds: weights that are used once come from memory, as in a model.</summary>
    private const long Streamed = 1L << 30;

    /// <summary>Bytes that a pass must read from memory; 0 where all lies in caches.</summary>
    public double Bytes => bytes;

    /// <summary>Operations of a pass.</summary>
    public double Operations => operations;

    /// <summary>Whether its peak is that of int8 dot products, else of float32 multiply-adds.</summary>
    public bool Integers => integers;

    /// <summary>Makes the operands; whoever calls disposes of them.</summary>
    public Action Prepare(IBackend backend, List<IDisposable> owned) => prepare(backend, owned);

    public override string ToString() => name;

    /// <summary>All cases, those of the decoder at the 7B sizes.</summary>
    public static IEnumerable<KernelCase> All()
    {
        foreach (WeightFormat format in (WeightFormat[])[WeightFormat.Int4(), WeightFormat.Int8(), WeightFormat.F16])
        {
            yield return Linear("decode gate_up", 1, 22016, 4096, format);
            yield return Linear("decode down", 1, 4096, 11008, format);
        }

        foreach (WeightFormat format in (WeightFormat[])[WeightFormat.Int4(), WeightFormat.Int8()])
        {
            yield return Linear("prefill qkv", 622, 12288, 4096, format);
            yield return Linear("prefill down", 622, 4096, 11008, format);
        }

        yield return Linear("vision fc1", 577, 4096, 1024, WeightFormat.Int8());
        yield return Linear("vision fc1", 577, 4096, 1024, WeightFormat.F32);
        yield return CausalAttention("decode attention", 1, 622);
        yield return CausalAttention("prefill attention", 622, 622);
        yield return FullAttention();
        yield return Norm("decode RMSNorm", 1, 4096, layerNorm: false);
        yield return Norm("prefill RMSNorm", 622, 4096, layerNorm: false);
        yield return Norm("vision LayerNorm", 577, 1024, layerNorm: true);
    }

    private static KernelCase Linear(string stage, int m, int n, int k, WeightFormat format)
    {
        long bytes = n * format.RowBytes(k);
        int copies = (int)Math.Max(1, Streamed / bytes / (m == 1 ? 1 : 8));
        return new KernelCase(
            $"{stage} [{m} x {k} x {n}] {format}", (double)bytes * copies, 2.0 * m * n * k * copies, format.IsInteger, (backend, owned) =>
            {
                Weight[] weights = [.. Enumerable.Range(0, copies).Select(i => Own(backend.CreateWeight(new RandomMatrix(n, k, i), format), owned))];
                Tensor x = Random(backend, m, k, owned), y = Own(backend.CreateTensor(m, n), owned);
                return () =>
                {
                    foreach (Weight weight in weights) backend.Linear(y, x, weight);
                };
            });
    }

    private static KernelCase CausalAttention(string stage, int m, int positions)
    {
        const int Heads = 32, HeadDim = 128;
        int layers = m == 1 ? 64 : 4;
        double pairs = m == 1 ? positions : (double)m * (m + 1) / 2;
        return new KernelCase(
            $"{stage} [{m} of {positions}] {Heads} heads of {HeadDim}", 2.0 * positions * Heads * HeadDim * sizeof(ushort) * layers,
            4.0 * pairs * Heads * HeadDim * layers, false, (backend, owned) =>
            {
                KvCache cache = Own(backend.CreateKvCache(new KvCacheShape(layers, Heads, HeadDim, positions, KvFormat.F16)), owned);
                Tensor qkv = Random(backend, positions, 3 * Heads * HeadDim, owned), query = Own(backend.CreateTensor(positions, Heads * HeadDim), owned);
                Tensor angles = Random(backend, positions, HeadDim / 2, owned), y = Own(backend.CreateTensor(m, Heads * HeadDim), owned);
                for (int layer = 0; layer < layers; layer++) backend.RopeAndCache(query, qkv, cache, layer, new RopeTable(angles, angles), 0);
                Tensor last = query.Slice(positions - m, m);
                return () =>
                {
                    for (int layer = 0; layer < layers; layer++) backend.CausalAttention(y, last, cache, layer, positions - m);
                };
            });
    }

    private static KernelCase FullAttention()
    {
        const int Rows = 577, Heads = 16, HeadDim = 64, Passes = 8;
        return new KernelCase(
            $"vision attention [{Rows}] {Heads} heads of {HeadDim}", 3.0 * Rows * Heads * HeadDim * sizeof(float) * Passes,
            4.0 * Rows * Rows * Heads * HeadDim * Passes, false, (backend, owned) =>
            {
                Tensor qkv = Random(backend, Rows, 3 * Heads * HeadDim, owned), y = Own(backend.CreateTensor(Rows, Heads * HeadDim), owned);
                return () =>
                {
                    for (int i = 0; i < Passes; i++) backend.FullAttention(y, qkv, 1, Heads);
                };
            });
    }

    private static KernelCase Norm(string stage, int rows, int columns, bool layerNorm)
    {
        int passes = Math.Max(16, 65536 / rows);
        return new KernelCase(
            $"{stage} [{rows} x {columns}]", 0, (layerNorm ? 7.0 : 4.0) * rows * columns * passes, false, (backend, owned) =>
            {
                Tensor x = Random(backend, rows, columns, owned), y = Own(backend.CreateTensor(rows, columns), owned);
                Tensor weight = Random(backend, 1, columns, owned), bias = Random(backend, 1, columns, owned);
                return () =>
                {
                    for (int i = 0; i < passes; i++)
                    {
                        if (layerNorm) backend.LayerNorm(y, x, weight, bias, 1e-5f);
                        else backend.RmsNorm(y, x, weight, 1e-5f);
                    }
                };
            });
    }

    private static Tensor Random(IBackend backend, int rows, int columns, List<IDisposable> owned)
    {
        Tensor tensor = Own(backend.CreateTensor(rows, columns), owned);
        var values = new float[rows * columns];
        RandomMatrix.Fill(values, 7);
        tensor.Write(values);
        return tensor;
    }

    private static T Own<T>(T value, List<IDisposable> owned)
        where T : IDisposable
    {
        owned.Add(value);
        return value;
    }
}
