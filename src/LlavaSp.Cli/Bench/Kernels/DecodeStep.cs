using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Checkpoints;
using LlavaSp.Graph;
using LlavaSp.Quantization;

namespace LlavaSp.Cli.Bench.Kernels;

/// <summary>What one token of the whole model launches and moves, by the graph's own launches with one layer and with two, weights empty.</summary>
/// <param name="Weights">Format, as on the command line.</param>
/// <param name="Layers">Layers of the model.</param>
/// <param name="LaunchesOfLayer">Launches of a layer.</param>
/// <param name="OtherLaunches">Embedding, logits, argmax.</param>
/// <param name="LayerBytes">Bytes from memory of a layer's launches.</param>
/// <param name="OtherBytes">Those of the others.</param>
/// <param name="WeightBytes">Weights and scales of the decoder, as they lie in memory, and a row of the embedding table.</param>
/// <param name="CacheBytes">Keys and values.</param>
internal sealed record DecodeStep(
    string Weights, int Layers, int LaunchesOfLayer, int OtherLaunches, double LayerBytes, double OtherBytes, double WeightBytes, double CacheBytes)
{
    /// <summary>All launches of a token.</summary>
    public int Launches => Layers * LaunchesOfLayer + OtherLaunches;

    /// <summary>Bytes from memory of a token.</summary>
    public double MemoryBytes => Layers * LayerBytes + OtherBytes;

    /// <summary>Weights once, keys and values once.</summary>
    public double MinimumBytes => WeightBytes + CacheBytes;

    /// <summary>What is moved against what must be.</summary>
    public double MemoryRatio => MemoryBytes / MinimumBytes;

    /// <summary>Counts a token at position <see cref="KernelCases.DecodeLength"/>.</summary>
    /// <param name="backend">The emulator.</param>
    /// <param name="format">Format, as on the command line.</param>
    public static DecodeStep Measure(CudaBackend backend, string format)
    {
        var bench = new EmulatorBench(backend);
        Pass one = Run(backend, bench, format, 1), two = Run(backend, bench, format, 2);
        using ModelCheckpoint model = SyntheticModel.Create(KernelCases.Model, SpatialMode.Pooling);
        int layers = model.Decoder.Layers;
        double layerWeights = two.WeightBytes - one.WeightBytes, layerCache = two.CacheBytes - one.CacheBytes;
        int launches = two.Launches - one.Launches;
        double bytes = two.Bytes - one.Bytes;
        return new DecodeStep(
            format, layers, launches, one.Launches - launches, bytes, one.Bytes - bytes, one.WeightBytes + (layers - 1) * layerWeights, layers * layerCache);
    }

    private static Pass Run(CudaBackend backend, EmulatorBench bench, string format, int layers)
    {
        using ModelCheckpoint model = SyntheticModel.Create(KernelCases.Model, SpatialMode.Pooling);
        DecoderConfig config = model.Decoder with { Layers = layers };
        backend.LeavesWeightsEmpty = true;
        try
        {
            using Decoder decoder = Decoder.Load(backend, model.Catalog, config, WeightPlan.For(WeightFormat.Parse(format)));
            using var work = new DecoderWorkspace(backend, config, 1);
            using var rope = new Rope(backend, config, KernelCases.DecodeLength);
            var shape = new KvCacheShape(layers, config.KvHeads, config.HeadDim, KernelCases.DecodeLength, KvFormat.F16);
            using KvCache cache = backend.CreateKvCache(shape);
            IReadOnlyList<RecordedLaunch> launches = backend.Record(() =>
            {
                decoder.Embed(work.Hidden, [1]);
                decoder.Forward(work, cache, rope.Table, KernelCases.DecodeLength - 1);
                backend.Rows.Argmax((CudaTensor)work.Logits, backend.Scratch(RowKernels.ArgmaxBytes));
            });
            try
            {
                double embedding = (double)config.HiddenSize * sizeof(ushort);
                return new Pass(launches.Count, launches.Sum(bench.MemoryBytes), decoder.Weights.ByteLength + embedding, shape.ByteLength);
            }
            finally
            {
                backend.EndRecording();
            }
        }
        finally
        {
            backend.LeavesWeightsEmpty = false;
        }
    }

    private sealed record Pass(int Launches, double Bytes, double WeightBytes, double CacheBytes);
}
