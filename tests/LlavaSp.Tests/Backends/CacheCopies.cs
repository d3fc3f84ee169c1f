using LlavaSp.Backends;

namespace LlavaSp.Tests.Backends;

/// <summary>A cache whose first positions were copied from another is read as if it had been written, and the other stays as it was.</summary>
internal static class CacheCopies
{
    private const int Layers = 2, Heads = 4, KvHeads = 2, HeadDim = 16, Width = (Heads + 2 * KvHeads) * HeadDim;

    public static void Check(IBackend backend, KvFormat format)
    {
        const int Written = 150, Shared = 101;
        var shape = new KvCacheShape(Layers, KvHeads, HeadDim, 160, format);
        using KvCache source = backend.CreateKvCache(shape), copy = backend.CreateKvCache(shape with { Capacity = 200 }), other = backend.CreateKvCache(shape);
        Write(backend, source, 0, Written, seed: 1);
        // What stood there before is overwritten.
        Write(backend, copy, 0, 60, seed: 2);
        backend.CopyCache(copy, source, Shared);
        float[] before = Read(backend, source, Shared);
        Assert.All(before, static value => Assert.True(float.IsFinite(value)));
        Assert.Equal(before, Read(backend, copy, Shared));

        // What follows is each one's own.
        Write(backend, copy, Shared, 20, seed: 3);
        Assert.Equal(before, Read(backend, source, Shared));
        Write(backend, other, 0, Written, seed: 1);
        Assert.Equal(Read(backend, other, Written), Read(backend, source, Written));
        Write(backend, other, Shared, 20, seed: 3);
        Assert.Equal(Read(backend, other, Shared + 20), Read(backend, copy, Shared + 20));

        backend.CopyCache(copy, source, 0);
        Assert.Equal(before, Read(backend, copy, Shared));
        Assert.Throws<ArgumentException>(() => backend.CopyCache(copy, source, 161));
        using KvCache narrow = backend.CreateKvCache(shape with { KvHeads = 1 });
        Assert.Throws<ArgumentException>(() => backend.CopyCache(narrow, source, 1));
    }

    private static void Write(IBackend backend, KvCache cache, int first, int rows, int seed)
    {
        float[] angles = CpuTesting.Random(200 * HeadDim / 2, 9);
        using Tensor cos = CpuTesting.Tensor(backend, 200, HeadDim / 2, [.. angles.Select(MathF.Cos)]);
        using Tensor sin = CpuTesting.Tensor(backend, 200, HeadDim / 2, [.. angles.Select(MathF.Sin)]);
        using Tensor qkv = backend.CreateTensor(rows, Width, Precision.Operand), query = backend.CreateTensor(rows, Heads * HeadDim, Precision.Query);
        for (int layer = 0; layer < Layers; layer++)
        {
            qkv.Write(CpuTesting.Random(rows * Width, seed + (10 * layer)));
            backend.RopeAndCache(query, qkv, cache, layer, new RopeTable(cos, sin), first);
        }
    }

    // Attention of one row over the first positions, layer by layer.
    private static float[] Read(IBackend backend, KvCache cache, int positions)
    {
        using Tensor query = backend.CreateTensor(1, Heads * HeadDim, Precision.Query), attended = backend.CreateTensor(1, Heads * HeadDim, Precision.Operand);
        query.Write(CpuTesting.Random(Heads * HeadDim, 30));
        var all = new List<float>();
        for (int layer = 0; layer < Layers; layer++)
        {
            backend.CausalAttention(attended, query, cache, layer, positions - 1);
            all.AddRange(attended.ToArray());
        }

        return [.. all];
    }
}
