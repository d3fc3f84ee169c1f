using System.Diagnostics;
using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Backends.Reference;
using LlavaSp.Checkpoints;
using LlavaSp.Graph;
using LlavaSp.Quantization;
using static LlavaSp.Tests.Backends.CpuTesting;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>
/// One layer of each stage at the size of the published 7B model, through the graph, with grids as for 128 SMs, against the reference. An error is the largest
/// difference over the root mean square of what is expected; bounds are about twice what the test prints.
/// </summary>
public sealed class Cuda7BLayerTests(ITestOutputHelper output)
{
    private const int Multiprocessors = 128, Channels = 1024, Hidden = 4096, Inner = 11008, Heads = 32, HeadDim = 128, Cells = 576;
    private static readonly int[] KernelSizes = [4, 8, 12, 16, 20, 24];
    private static readonly MultimodalConfig Multimodal = MultimodalOfTiny();

    /// <summary>Patch embedding and the layer behind it: 577 rows, 16 heads; the hidden state of layer -2 of two.</summary>
    [Theory]
    [InlineData("f16", 5e-3f)]
    public void ALayerOfTheVisionTowerAgrees(string weights, float bound)
    {
        VisionConfig vision = Shapes.Tower(Channels, 4096, 2, 16);
        var bytes = new byte[3 * 336 * 336];
        new Random(3).NextBytes(bytes);
        var pixels = new TilePixels(1, 336, bytes, Enumerable.Range(0, 768).Select(static i => ((i % 256) - 120) / 70f).ToArray());
        Compare($"vision {weights}", bound, (backend, catalog) =>
        {
            using VisionTower tower = VisionTower.Load(backend, catalog, vision, Multimodal, WeightPlan.For(WeightFormat.Parse(weights)), allLayers: false);
            using Tensor features = backend.CreateTensor(Cells, Channels, Precision.Operand);
            tower.Encode(features, pixels, null);
            return features.ToArray();
        }, Catalog(Shapes.Decoder(64, 64, 1, 1, 1, 64, 16), vision, null));
    }

    /// <summary>Both layers of the projector; fewer rows than the 576 of a tile, since its rows know nothing of each other.</summary>
    [Theory]
    [InlineData("f16", 2e-3f)]
    public void TheProjectorAgrees(string weights, float bound)
    {
        const int rows = 72;
        float[] features = Random(rows * Channels, 4);
        Compare($"projector {weights}", bound, (backend, catalog) =>
        {
            using Projector projector = Projector.Load(backend, catalog, "mlp2x_gelu", Channels, Hidden, WeightPlan.For(WeightFormat.Parse(weights)));
            using Tensor x = CudaTesting.Tensor(backend, Precision.Operand, rows, Channels, features), y = backend.CreateTensor(rows, Hidden);
            projector.Project(y, x);
            return y.ToArray();
        }, Catalog(Config(0, 16), Shapes.Tower(Channels, 16, 1, 16), null));
    }

    /// <summary>All six convolutions, 763 M weights; with Cropping also conv_CM, 134 M, and the fusion; then conv_linear.</summary>
    [Theory]
    [InlineData(SpatialMode.Pooling, "int4", 4e-3f)]
    [InlineData(SpatialMode.Cropping, "int8", 3e-3f)]
    public void TheSpatialTokensAgree(SpatialMode mode, string weights, float bound)
    {
        var config = new SpatialConfig(mode, KernelSizes, 512, mode == SpatialMode.Cropping ? 16 : 0, "test");
        float[] features = Random(Cells * Channels, 5);
        Func<TensorCatalog> open = Catalog(Config(0, 16), Shapes.Tower(Channels, 16, 1, 16), config);
        float[] Run(IBackend backend, SpatialConfig part)
        {
            using TensorCatalog catalog = open();
            using SpatialTokens stage = SpatialTokens.Load(backend, catalog, part, Channels, Hidden, WeightPlan.For(WeightFormat.Parse(weights)));
            using Tensor x = CudaTesting.Tensor(backend, Precision.Operand, Cells, Channels, features), y = backend.CreateTensor(part.Tokens, Hidden);
            stage.Encode(y, x, 1, null);
            return y.ToArray();
        }

        long start = Stopwatch.GetTimestamp();
        float[] actual;
        using (CudaBackend cuda = Cuda(false)) actual = Run(cuda, config);
        string times = $"device {Stopwatch.GetElapsedTime(start).TotalSeconds:f1} s";
        start = Stopwatch.GetTimestamp();
        // Every token is its own; the reference holds float32, so it gets the convolutions in two parts.
        float[] expected = [.. new[] { KernelSizes[..5], KernelSizes[5..] }.SelectMany(part =>
        {
            float[] tokens = Run(new ReferenceBackend(), config with { KernelSizes = part });
            GC.Collect();
            return tokens;
        })];
        Report($"spatial tokens {mode} {weights}", expected, actual, bound, $"{times}, reference {Stopwatch.GetElapsedTime(start).TotalSeconds:f1} s");
    }

    /// <summary>
    /// One decoder layer, final norm and a small output matrix: 40 rows behind 600 cached positions, and a recorded decode step at position 1024.
    /// </summary>
    [Theory]
    [InlineData("f16", false, 4e-3f, 3.5e-3f)]
    [InlineData("int8", true, 0.13f, 7.5e-3f)]
    [InlineData("int4", false, 5e-3f, 3.5e-3f)]
    public void ADecoderLayerAgrees(string weights, bool int8Activations, float prefillBound, float stepBound)
    {
        const int Rows = 40, Cached = 600, Last = 1024, Width = 3 * Heads * HeadDim;
        DecoderConfig config = Config(1, 512);
        float[] past = Random(64 * Width, 6), inputs = Random((Rows + 1) * Hidden, 7);
        Func<TensorCatalog> open = Catalog(config, Shapes.Tower(64, 16, 1, 1), null);
        (float[] Prefill, float[] Step, float[] Logits) Run(IBackend backend)
        {
            using TensorCatalog catalog = open();
            using Decoder decoder = LoadDecoder(backend, catalog, config, weights);
            using KvCache cache = backend.CreateKvCache(new KvCacheShape(1, Heads, HeadDim, Last + 1, KvFormat.F16));
            using var rope = new Rope(backend, config, Last + 1);
            using (Tensor qkv = CudaTesting.Tensor(backend, Precision.Operand, 64, Width, past), query = backend.CreateTensor(64, Hidden, Precision.Operand))
                for (int first = 0; first < Last; first += 64) backend.RopeAndCache(query, qkv, cache, 0, rope.Table, first);

            using var many = new DecoderWorkspace(backend, config, Rows);
            many.Hidden.Write(inputs.AsSpan(0, Rows * Hidden));
            decoder.Forward(many, cache, rope.Table, Cached);
            using var one = new DecoderWorkspace(backend, config, 1);
            one.Hidden.Write(inputs.AsSpan(Rows * Hidden));
            using (IStepRecorder? recorder = backend.CreateStepRecorder())
            {
                recorder?.Begin();
                decoder.Forward(one, cache, rope.Table, Last);
                recorder?.End(true);
                return (many.Hidden.ToArray(), one.Hidden.ToArray(), one.Logits.ToArray());
            }
        }

        long start = Stopwatch.GetTimestamp();
        (float[] Prefill, float[] Step, float[] Logits) actual, expected;
        using (CudaBackend cuda = Cuda(int8Activations)) actual = Run(cuda);
        string times = $"device {Stopwatch.GetElapsedTime(start).TotalSeconds:f1} s";
        start = Stopwatch.GetTimestamp();
        expected = Run(new ReferenceBackend());
        times += $", reference {Stopwatch.GetElapsedTime(start).TotalSeconds:f1} s";
        // What the layer adds to the residual stream, which would hide its errors.
        Report($"prefill {weights}", Added(expected.Prefill, 0), Added(actual.Prefill, 0), prefillBound, times);
        Report($"decode step {weights}", Added(expected.Step, Rows), Added(actual.Step, Rows), stepBound, times);
        Report($"logits {weights}", expected.Logits, actual.Logits, stepBound, times);

        float[] Added(float[] hidden, int row) => [.. hidden.Select((x, i) => x - inputs[(row * Hidden) + i])];
    }

    /// <summary>Embedding table, final norm, output matrix and argmax with all 32,000 tokens.</summary>
    [Theory]
    [InlineData("int8", 2e-3f)]
    public void TheOutputMatrixAgrees(string weights, float bound)
    {
        DecoderConfig config = Config(0, 32000);
        int[] ids = [1, 31999, 15000];
        var tokens = new List<int>();
        Compare($"output matrix {weights}", bound, (backend, catalog) =>
        {
            using Decoder decoder = LoadDecoder(backend, catalog, config, weights);
            using KvCache cache = backend.CreateKvCache(new KvCacheShape(1, Heads, HeadDim, 64, KvFormat.F16));
            using var rope = new Rope(backend, config, 64);
            using var work = new DecoderWorkspace(backend, config, ids.Length);
            decoder.Embed(work.Hidden, ids);
            decoder.Forward(work, cache, rope.Table, 0);
            float[] logits = work.Logits.ToArray();
            int best = backend.Argmax(work.Logits);
            Assert.Equal(logits.Max(), logits[best]);
            tokens.Add(best);
            return logits;
        }, Catalog(config, Shapes.Tower(64, 16, 1, 1), null));
        Assert.Single(tokens.Distinct());
    }

    private static MultimodalConfig MultimodalOfTiny()
    {
        using ModelCheckpoint tiny = SyntheticModel.Create("tiny", null);
        return tiny.Multimodal;
    }

    private static DecoderConfig Config(int layers, int vocabulary) => Shapes.Decoder(Hidden, Inner, layers, Heads, Heads, HeadDim, vocabulary);

    private static Decoder LoadDecoder(IBackend backend, TensorCatalog catalog, DecoderConfig config, string weights) =>
        LlavaSp.Graph.Decoder.Load(backend, catalog, config, WeightPlan.For(WeightFormat.Parse(weights)));

    private static CudaBackend Cuda(bool int8Activations) => CudaTesting.Create(int8Activations: int8Activations, multiprocessors: Multiprocessors);

    /// <summary>Opens the tensors of a model with these parts anew each time.</summary>
    private static Func<TensorCatalog> Catalog(DecoderConfig decoder, VisionConfig vision, SpatialConfig? spatial) => () =>
    {
        bool cropping = spatial?.Mode == SpatialMode.Cropping;
        var catalog = new TensorCatalog();
        IEnumerable<LayoutTensor> layout = ModelLayout.Of(
            decoder, vision, Multimodal, spatial ?? new SpatialConfig(null, [], 0, 0, "test"),
            k => cropping || k == vision.Grid ? $"conv_{k}.weight" : $"conv_{k}.1.weight");
        // The decoder has no biases, conv_linear only with Cropping.
        bool Holds(LayoutTensor t) => t.Need != TensorNeed.Optional || NameMap.IsVision(t.Name) || (cropping && t.Name == "conv_linear.1.bias");
        catalog.Add(new LayerTensors(layout.Where(Holds)), "test", static _ => true);
        return catalog;
    };

    private void Compare(string what, float bound, Func<IBackend, TensorCatalog, float[]> run, Func<TensorCatalog> open)
    {
        long start = Stopwatch.GetTimestamp();
        float[] actual, expected;
        using (CudaBackend cuda = Cuda(false))
        using (TensorCatalog catalog = open())
            actual = run(cuda, catalog);
        string times = $"device {Stopwatch.GetElapsedTime(start).TotalSeconds:f1} s";
        start = Stopwatch.GetTimestamp();
        using (TensorCatalog catalog = open()) expected = run(new ReferenceBackend(), catalog);
        Report(what, expected, actual, bound, $"{times}, reference {Stopwatch.GetElapsedTime(start).TotalSeconds:f1} s");
    }

    private void Report(string what, float[] expected, float[] actual, float bound, string times)
    {
        double square = expected.Average(static x => (double)x * x);
        double error = TensorComparison.Difference(expected, actual) / Math.Sqrt(square);
        output.WriteLine($"{what}: error {error:g3} of {bound:g3}, size {Math.Sqrt(square):g3}; {times}");
        Assert.True(double.IsFinite(square) && square > 1e-12 && error <= bound, $"{what}: {error:g3} > {bound:g3}");
    }
}
