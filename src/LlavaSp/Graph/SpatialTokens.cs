using LlavaSp.Backends;
using LlavaSp.Checkpoints;

namespace LlavaSp.Graph;

/// <summary>
/// The visual spatial tokens (paper section 3, upstream llava_arch.py): SFE convolutions over the pooled or cropped grid, DFI where the variant is Cropping,
/// then GELU and conv_linear.
/// </summary>
internal sealed class SpatialTokens : IDisposable
{
    private readonly IBackend _backend;
    private readonly SpatialConfig _config;
    private readonly SpatialConvolution[] _convolutions;
    private readonly DetailFusionWeights? _fusion;
    private readonly Weight _linear;
    private readonly Tensor? _linearBias;

    private SpatialTokens(
        IBackend backend, SpatialConfig config, SpatialConvolution[] convolutions, DetailFusionWeights? fusion, Weight linear, Tensor? linearBias,
        StageWeights weights)
    {
        _backend = backend;
        _config = config;
        _convolutions = convolutions;
        _fusion = fusion;
        _linear = linear;
        _linearBias = linearBias;
        Weights = weights;
    }

    /// <summary>Bytes and elements.</summary>
    public StageWeights Weights { get; }

    /// <summary>Tokens of one tile.</summary>
    public int TokensPerTile => _config.Tokens;

    /// <summary>Loads the stage.</summary>
    /// <param name="backend">Where it will run.</param>
    /// <param name="catalog">The checkpoint's tensors.</param>
    /// <param name="config">The variant.</param>
    /// <param name="channels">Width of the patch features.</param>
    /// <param name="hidden">Width of the decoder.</param>
    /// <param name="plan">Weight formats.</param>
    public static SpatialTokens Load(IBackend backend, TensorCatalog catalog, SpatialConfig config, int channels, int hidden, WeightPlan plan)
    {
        var weights = new StageWeights(backend, catalog);
        var convolutions = config.KernelSizes.Select(k => new SpatialConvolution(
            k, weights.Create(catalog.Kernel(SpatialConfig.KernelName(catalog, k), config.Width, k, channels), plan.Spatial))).ToArray();
        bool fused = config.Mode == SpatialMode.Cropping;
        DetailFusionWeights? fusion = fused ? LoadFusion(weights, config, channels, plan) : null;
        Weight linear = weights.Matrix("conv_linear.1.weight", hidden, fused ? 2 * config.Width : config.Width, plan.Vision);
        return new SpatialTokens(backend, config, convolutions, fusion, linear, weights.OptionalVector("conv_linear.1.bias", hidden), weights);
    }

    /// <summary>Writes the tokens of all tiles, tile by tile, to <paramref name="destination"/> [tiles * TokensPerTile, hidden].</summary>
    public void Encode(Tensor destination, Tensor features, int tiles, ITraceSink? trace)
    {
        int rows = tiles * TokensPerTile;
        using Tensor tokens = _backend.CreateTensor(rows, _config.Width);
        _backend.SpatialTokens(tokens, features, tiles, _config.Mode!.Value, _convolutions, trace);
        using Tensor? fused = _fusion is null ? null : _backend.CreateTensor(rows, 2 * _config.Width);
        if (fused is not null) _backend.DetailFusion(fused, tokens, features, tiles, _fusion!, trace);
        Tensor linearIn = fused ?? tokens;
        TraceTiles(trace, "sp.conv_linear_in", linearIn, tiles);
        using Tensor activated = _backend.CreateTensor(rows, linearIn.Columns, Precision.Operand);
        _backend.ActivationLinear(destination, activated, linearIn, Activation.Gelu, _linear, new Epilogue(_linearBias));
        TraceTiles(trace, "sp.tokens", destination, tiles);
    }

    /// <inheritdoc/>
    public void Dispose() => Weights.Dispose();

    private void TraceTiles(ITraceSink? trace, string name, Tensor tensor, int tiles)
    {
        for (int tile = 0; tile < tiles && trace is not null; tile++)
            trace.AddTensor(TraceNames.Tile(tiles, tile, name), tensor.Slice(tile * TokensPerTile, TokensPerTile));
    }

    private static DetailFusionWeights LoadFusion(StageWeights weights, SpatialConfig config, int channels, WeightPlan plan)
    {
        int width = config.Width, k = config.FusionKernelSize;
        return new DetailFusionWeights(
            k, SpatialConfig.FusionStride, weights.Create(weights.Catalog.Kernel("conv_CM.weight", width, k, channels), plan.Spatial),
            Projection("query_projector"), Projection("key_projector"), Projection("value_projector"), SpatialConfig.FusionNormEpsilon);

        NormLinear Projection(string name) => new(
            weights.Vector($"{name}.0.weight", width), weights.Vector($"{name}.0.bias", width),
            weights.Matrix($"{name}.1.weight", width, width, plan.Vision), weights.Vector($"{name}.1.bias", width));
    }
}
