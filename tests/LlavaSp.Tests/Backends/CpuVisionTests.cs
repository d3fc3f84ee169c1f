using LlavaSp.Backends;
using LlavaSp.Quantization;
using static LlavaSp.Tests.Backends.CpuTesting;

namespace LlavaSp.Tests.Backends;

/// <summary>Patch embedding, spatial tokens and detail fusion of the CPU backend against the reference, on every instruction set.</summary>
public sealed class CpuVisionTests
{
    public static TheoryData<string> InstructionSets() => CpuTesting.InstructionSets();

    [Theory]
    [MemberData(nameof(InstructionSets))]
    public void PatchEmbeddingAgrees(string isa)
    {
        using Pair pair = new(isa);
        const int tiles = 2, size = 24, patch = 6, n = 16, d = 37, k = 3 * patch * patch;
        var bytes = new byte[tiles * 3 * size * size];
        new Random(1).NextBytes(bytes);
        var pixels = new TilePixels(tiles, size, bytes, Random(768, 2));
        foreach (WeightFormat format in new[] { WeightFormat.F32, WeightFormat.Int8() })
        {
            pair.Same(tiles * (n + 1), d, 5e-5f, (backend, y) =>
            {
                using Weight patches = backend.CreateWeight(new MatrixSource(d, k, Random(d * k, 3)), format);
                backend.PatchEmbedding(y, pixels, new PatchEmbeddingWeights(
                    patches, Tensor(backend, 1, d, Random(d, 4)), Tensor(backend, n + 1, d, Random((n + 1) * d, 5)), Tensor(backend, 1, d, Random(d, 6)),
                    Tensor(backend, 1, d, Random(d, 7)), 1e-5f, patch, size));
            });
        }
    }

    [Theory]
    [MemberData(nameof(InstructionSets))]
    public void SpatialTokensAgree(string isa)
    {
        using Pair pair = new(isa);
        const int grid = 12, d = 10, width = 21;
        int[] sizes = [2, 5, 8, 12];
        foreach (SpatialMode mode in Enum.GetValues<SpatialMode>())
        {
            foreach (int tiles in new[] { 1, 3 })
            {
                foreach (WeightFormat format in new[] { WeightFormat.F32, WeightFormat.F16, WeightFormat.Int4() })
                {
                    var traces = new List<TraceList>();
                    pair.Same(tiles * sizes.Length, width, 3e-4f, (backend, y) =>
                    {
                        SpatialConvolution[] convolutions = [.. sizes.Select(k => new SpatialConvolution(
                            k, backend.CreateWeight(new MatrixSource(width, k * k * d, Random(width * k * k * d, k)), format)))];
                        traces.Add(new TraceList());
                        backend.SpatialTokens(y, Tensor(backend, tiles * grid * grid, d, Random(tiles * grid * grid * d, 8)), tiles, mode, convolutions, traces[^1]);
                    });
                    traces[0].AssertSame(traces[1], 3e-4f);
                    Assert.Equal(tiles * (mode == SpatialMode.Pooling ? 2 * sizes.Length - 1 : sizes.Length), traces[0].Count);
                }
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void DetailFusionAgrees(bool damaged)
    {
        SkipWithoutLibrary();
        foreach (string isa in LlavaSp.Backends.Cpu.CpuBackend.InstructionSets())
        {
            using Pair pair = new(isa);
            const int grid = 8, d = 6, width = 19, count = 4, kernel = 4, tiles = 2;
            float[] features = Random(tiles * grid * grid * d, 1, 0.3f), tokens = Random(tiles * count * width, 2);
            if (damaged)
            {
                features[5] = tokens[0] = tokens[77] = float.NaN;
                for (int i = 0; i < width; i++) tokens[2 * width + i] = float.NaN;
            }

            var traces = new List<TraceList>();
            pair.Same(tiles * count, 2 * width, 2e-4f, (backend, y) =>
            {
                using Weight conv = backend.CreateWeight(new MatrixSource(width, kernel * kernel * d, Random(width * kernel * kernel * d, 3)), WeightFormat.F32);
                NormLinear Projection(int seed) => new(
                    Tensor(backend, 1, width, Random(width, seed)), Tensor(backend, 1, width, Random(width, seed + 1)),
                    backend.CreateWeight(new MatrixSource(width, width, Random(width * width, seed + 2, 0.3f)), WeightFormat.F32),
                    Tensor(backend, 1, width, Random(width, seed + 3)));
                traces.Add(new TraceList());
                backend.DetailFusion(
                    y, Tensor(backend, tiles * count, width, tokens), Tensor(backend, tiles * grid * grid, d, features), tiles,
                    new DetailFusionWeights(kernel, 2, conv, Projection(10), Projection(20), Projection(30), 1e-5f), traces[^1]);
            });
            traces[0].AssertSame(traces[1], 2e-4f);
            Assert.Equal(7 * tiles, traces[0].Count);
        }
    }

    /// <summary>Keeps what it is given.</summary>
    private sealed class TraceList : ITraceSink
    {
        private readonly Dictionary<string, (float[] Values, long[] Shape)> _tensors = [];

        public int Count => _tensors.Count;

        public bool Wants(string name) => true;

        public void Add(string name, ReadOnlySpan<float> values, params ReadOnlySpan<long> shape) => _tensors.Add(name, (values.ToArray(), shape.ToArray()));

        public void AssertSame(TraceList other, float tolerance)
        {
            Assert.Equal(_tensors.Keys.Order(), other._tensors.Keys.Order());
            foreach ((string name, (float[] values, long[] shape)) in _tensors)
            {
                Assert.Equal(shape, other._tensors[name].Shape);
                Near(values, other._tensors[name].Values, tolerance, name);
            }
        }
    }
}
