using LlavaSp.Backends;
using LlavaSp.Checkpoints;

namespace LlavaSp.Graph;

/// <summary>
/// CLIP ViT up to the hidden state that LLaVA selects (transformers modeling_clip.py, upstream clip_encoder.py): later layers and the post-norm never run.
/// </summary>
internal sealed class VisionTower : IDisposable
{
    private readonly IBackend _backend;
    private readonly VisionConfig _config;
    private readonly bool _dropClassToken;
    private readonly PatchEmbeddingWeights _embedding;
    private readonly Layer[] _layers;

    private VisionTower(
        IBackend backend, VisionConfig config, bool dropClassToken, PatchEmbeddingWeights embedding, Layer[] layers, int selected, StageWeights weights)
    {
        _backend = backend;
        _config = config;
        _dropClassToken = dropClassToken;
        _embedding = embedding;
        _layers = layers;
        SelectedLayer = selected;
        Weights = weights;
    }

    /// <summary>Hidden state that is given out: 0 is the embedding, i follows layer i.</summary>
    public int SelectedLayer { get; }

    /// <summary>Bytes and elements.</summary>
    public StageWeights Weights { get; }

    /// <summary>Rows of features per tile.</summary>
    public int TokensPerTile => _config.Grid * _config.Grid + (_dropClassToken ? 0 : 1);

    /// <summary>Width of the features.</summary>
    public int Width => _config.HiddenSize;

    /// <summary>Loads the layers that run, or all of them where a trace wants every hidden state.</summary>
    public static VisionTower Load(
        IBackend backend, TensorCatalog catalog, VisionConfig config, MultimodalConfig multimodal, WeightPlan plan, bool allLayers)
    {
        int selected = multimodal.SelectedState(config);
        var weights = new StageWeights(backend, catalog);
        int d = config.HiddenSize, cells = config.Grid * config.Grid;
        const string Embeddings = "vision_model.embeddings.", PreNorm = "vision_model.pre_layrnorm.";
        var embedding = new PatchEmbeddingWeights(
            weights.Matrix($"{Embeddings}patch_embedding.weight", d, 3L * config.PatchSize * config.PatchSize, plan.Patches),
            weights.Vector($"{Embeddings}class_embedding", d),
            weights.Table($"{Embeddings}position_embedding.weight", cells + 1, d),
            weights.Vector($"{PreNorm}weight", d), weights.Vector($"{PreNorm}bias", d), config.NormEpsilon, config.PatchSize, config.ImageSize);
        var layers = new Layer[allLayers ? config.Layers : selected];
        for (int i = 0; i < layers.Length; i++) layers[i] = Layer.Load(weights, config, plan, i);
        return new VisionTower(backend, config, multimodal.DropClassToken, embedding, layers, selected, weights);
    }

    /// <summary>Writes the features of all tiles, tile by tile, to <paramref name="features"/> [tiles * TokensPerTile, d].</summary>
    public void Encode(Tensor features, TilePixels pixels, ITraceSink? trace)
    {
        int tokens = _config.Grid * _config.Grid + 1, rows = pixels.Tiles * tokens, d = _config.HiddenSize;
        using Tensor hidden = _backend.CreateTensor(rows, d);
        using Tensor normed = _backend.CreateTensor(rows, d, Precision.Operand), attended = _backend.CreateTensor(rows, d, Precision.Operand);
        using Tensor qkv = _backend.CreateTensor(rows, 3 * d, Precision.Operand), inner = _backend.CreateTensor(rows, _config.IntermediateSize, Precision.Operand);
        _backend.PatchEmbedding(hidden, pixels, _embedding);
        Trace(trace, 0, hidden, pixels.Tiles);
        if (SelectedLayer == 0) Select(features, hidden, pixels.Tiles);
        for (int i = 0; i < _layers.Length; i++)
        {
            Layer layer = _layers[i];
            _backend.LayerNorm(normed, hidden, layer.AttentionNormWeight, layer.AttentionNormBias, _config.NormEpsilon);
            _backend.Linear(qkv, normed, layer.Qkv, new Epilogue(layer.QkvBias));
            _backend.FullAttention(attended, qkv, pixels.Tiles, _config.Heads);
            _backend.Linear(hidden, attended, layer.Output, new Epilogue(layer.OutputBias, Residual: hidden));
            _backend.LayerNorm(normed, hidden, layer.MlpNormWeight, layer.MlpNormBias, _config.NormEpsilon);
            _backend.Linear(inner, normed, layer.Up, new Epilogue(layer.UpBias, _config.Activation));
            _backend.Linear(hidden, inner, layer.Down, new Epilogue(layer.DownBias, Residual: hidden));
            Trace(trace, i + 1, hidden, pixels.Tiles);
            if (SelectedLayer == i + 1) Select(features, hidden, pixels.Tiles);
            if (SelectedLayer == i + 1 && trace is null) break;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Weights.Dispose();

    private void Select(Tensor features, Tensor hidden, int tiles)
    {
        int tokens = hidden.Rows / tiles, skip = tokens - TokensPerTile;
        for (int tile = 0; tile < tiles; tile++)
            _backend.Copy(features.Slice(tile * TokensPerTile, TokensPerTile), hidden.Slice(tile * tokens + skip, TokensPerTile));
    }

    private static void Trace(ITraceSink? trace, int layer, Tensor hidden, int tiles)
    {
        if (trace is null) return;
        int tokens = hidden.Rows / tiles;
        for (int tile = 0; tile < tiles; tile++)
            trace.AddTensor(TraceNames.Tile(tiles, tile, $"vision.hidden_states.{layer}"), hidden.Slice(tile * tokens, tokens));
    }

    private sealed record Layer(
        Tensor AttentionNormWeight, Tensor AttentionNormBias, Weight Qkv, Tensor? QkvBias, Weight Output, Tensor OutputBias,
        Tensor MlpNormWeight, Tensor MlpNormBias, Weight Up, Tensor UpBias, Weight Down, Tensor DownBias)
    {
        public static Layer Load(StageWeights weights, VisionConfig config, WeightPlan plan, int index)
        {
            string p = $"vision_model.encoder.layers.{index}.", attention = $"{p}self_attn.";
            int d = config.HiddenSize, inner = config.IntermediateSize;
            return new Layer(
                weights.Vector($"{p}layer_norm1.weight", d), weights.Vector($"{p}layer_norm1.bias", d),
                weights.Create(
                    new StackedMatrix(
                        weights.Catalog.Matrix($"{attention}q_proj.weight", d, d), weights.Catalog.Matrix($"{attention}k_proj.weight", d, d),
                        weights.Catalog.Matrix($"{attention}v_proj.weight", d, d)),
                    plan.Vision),
                weights.StackedVector(($"{attention}q_proj.bias", d), ($"{attention}k_proj.bias", d), ($"{attention}v_proj.bias", d)),
                weights.Matrix($"{attention}out_proj.weight", d, d, plan.Vision), weights.Vector($"{attention}out_proj.bias", d),
                weights.Vector($"{p}layer_norm2.weight", d), weights.Vector($"{p}layer_norm2.bias", d),
                weights.Matrix($"{p}mlp.fc1.weight", inner, d, plan.Vision), weights.Vector($"{p}mlp.fc1.bias", inner),
                weights.Matrix($"{p}mlp.fc2.weight", d, inner, plan.Vision), weights.Vector($"{p}mlp.fc2.bias", d));
        }
    }
}
