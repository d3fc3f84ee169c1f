using LlavaSp.Backends;
using LlavaSp.Imaging;

namespace LlavaSp.Checkpoints;

/// <summary>A tensor that the graph will ask for.</summary>
/// <param name="Name">Canonical name.</param>
/// <param name="Shape">What the config asks for, as text.</param>
/// <param name="Request">Asks the catalog for it as the graph does; complains when it does not fit.</param>
internal sealed record ExpectedTensor(string Name, string Shape, Action<TensorCatalog> Request)
{
    public static ExpectedTensor Vector(string name, long elements) => new(name, $"[{elements}]", catalog => catalog.Vector(name, elements));

    public static ExpectedTensor Table(string name, long rows, long columns) =>
        new(name, $"[{rows}, {columns}]", catalog => catalog.Vector(name, rows * columns));

    public static ExpectedTensor Matrix(string name, long rows, long columns) =>
        new(name, $"[{rows}, {columns}]", catalog => catalog.Matrix(name, rows, columns));

    public static ExpectedTensor Kernel(string name, long rows, int k, int channels) =>
        new(name, $"[{rows}, {channels}, {k}, {k}]", catalog => catalog.Kernel(name, rows, k, channels));
}

/// <summary>
/// Every tensor that the graph reads from a checkpoint, stage by stage: what the Load methods in Graph/ ask for, without loading anything.
/// </summary>
internal static class ExpectedTensors
{
    /// <summary>
    /// What each stage reads. Optional biases are listed where the checkpoint has them. An enumeration throws <see cref="CheckpointException"/> where the
    /// config asks for something that does not exist.
    /// </summary>
    public static IReadOnlyList<IEnumerable<ExpectedTensor>> Of(ModelCheckpoint checkpoint) =>
        [Vision(checkpoint), Spatial(checkpoint), Projector(checkpoint), Decoder(checkpoint.Catalog, checkpoint.Decoder)];

    private static IEnumerable<ExpectedTensor> Vision(ModelCheckpoint checkpoint)
    {
        VisionConfig config = checkpoint.Vision;
        int d = config.HiddenSize, inner = config.IntermediateSize;
        const string Embeddings = "vision_model.embeddings.", PreNorm = "vision_model.pre_layrnorm.";
        yield return ExpectedTensor.Matrix($"{Embeddings}patch_embedding.weight", d, 3L * config.PatchSize * config.PatchSize);
        yield return ExpectedTensor.Vector($"{Embeddings}class_embedding", d);
        yield return ExpectedTensor.Table($"{Embeddings}position_embedding.weight", (long)config.Grid * config.Grid + 1, d);
        yield return ExpectedTensor.Vector($"{PreNorm}weight", d);
        yield return ExpectedTensor.Vector($"{PreNorm}bias", d);
        int layers = checkpoint.Multimodal.SelectedState(config);
        for (int i = 0; i < layers; i++)
        {
            string p = $"vision_model.encoder.layers.{i}.", attention = $"{p}self_attn.";
            foreach (string norm in (string[])["layer_norm1", "layer_norm2"])
            {
                yield return ExpectedTensor.Vector($"{p}{norm}.weight", d);
                yield return ExpectedTensor.Vector($"{p}{norm}.bias", d);
            }

            foreach (ExpectedTensor tensor in Qkv(checkpoint.Catalog, attention, d, d, d)) yield return tensor;
            yield return ExpectedTensor.Matrix($"{attention}out_proj.weight", d, d);
            yield return ExpectedTensor.Vector($"{attention}out_proj.bias", d);
            yield return ExpectedTensor.Matrix($"{p}mlp.fc1.weight", inner, d);
            yield return ExpectedTensor.Vector($"{p}mlp.fc1.bias", inner);
            yield return ExpectedTensor.Matrix($"{p}mlp.fc2.weight", d, inner);
            yield return ExpectedTensor.Vector($"{p}mlp.fc2.bias", d);
        }
    }

    private static IEnumerable<ExpectedTensor> Spatial(ModelCheckpoint checkpoint)
    {
        SpatialConfig config = checkpoint.Spatial;
        if (config.Mode is null) yield break;
        int width = config.Width, channels = checkpoint.Vision.HiddenSize;
        bool fused = config.Mode == SpatialMode.Cropping;
        foreach (int k in config.KernelSizes) yield return ExpectedTensor.Kernel(SpatialConfig.KernelName(checkpoint.Catalog, k), width, k, channels);
        if (fused)
        {
            yield return ExpectedTensor.Kernel("conv_CM.weight", width, config.FusionKernelSize, channels);
            foreach (string name in (string[])["query_projector", "key_projector", "value_projector"])
            {
                yield return ExpectedTensor.Vector($"{name}.0.weight", width);
                yield return ExpectedTensor.Vector($"{name}.0.bias", width);
                yield return ExpectedTensor.Matrix($"{name}.1.weight", width, width);
                yield return ExpectedTensor.Vector($"{name}.1.bias", width);
            }
        }

        yield return ExpectedTensor.Matrix("conv_linear.1.weight", checkpoint.Decoder.HiddenSize, fused ? 2 * width : width);
        if (checkpoint.Catalog.Has("conv_linear.1.bias")) yield return ExpectedTensor.Vector("conv_linear.1.bias", checkpoint.Decoder.HiddenSize);
    }

    private static IEnumerable<ExpectedTensor> Projector(ModelCheckpoint checkpoint)
    {
        int hidden = checkpoint.Decoder.HiddenSize;
        string[] layers = Graph.Projector.LayerNames(checkpoint.Multimodal.ProjectorType);
        for (int i = 0; i < layers.Length; i++)
        {
            yield return ExpectedTensor.Matrix($"{layers[i]}.weight", hidden, i == 0 ? checkpoint.Vision.HiddenSize : hidden);
            yield return ExpectedTensor.Vector($"{layers[i]}.bias", hidden);
        }

        if (checkpoint.Multimodal is { ImageAspectRatio: "anyres", PatchMergeType: PatchMergeType.SpatialUnpad })
            yield return ExpectedTensor.Vector("image_newline", hidden);
    }

    private static IEnumerable<ExpectedTensor> Decoder(TensorCatalog catalog, DecoderConfig config)
    {
        int hidden = config.HiddenSize, queries = config.Heads * config.HeadDim, keys = config.KvHeads * config.HeadDim, inner = config.IntermediateSize;
        yield return ExpectedTensor.Matrix("model.embed_tokens.weight", config.VocabularySize, hidden);
        for (int i = 0; i < config.Layers; i++)
        {
            string p = $"model.layers.{i}.", attention = $"{p}self_attn.";
            yield return ExpectedTensor.Vector($"{p}input_layernorm.weight", hidden);
            foreach (ExpectedTensor tensor in Qkv(catalog, attention, queries, keys, hidden)) yield return tensor;
            yield return ExpectedTensor.Matrix($"{attention}o_proj.weight", hidden, queries);
            if (catalog.Has($"{attention}o_proj.bias")) yield return ExpectedTensor.Vector($"{attention}o_proj.bias", hidden);
            yield return ExpectedTensor.Vector($"{p}post_attention_layernorm.weight", hidden);
            yield return ExpectedTensor.Matrix($"{p}mlp.gate_proj.weight", inner, hidden);
            yield return ExpectedTensor.Matrix($"{p}mlp.up_proj.weight", inner, hidden);
            yield return ExpectedTensor.Matrix($"{p}mlp.down_proj.weight", hidden, inner);
        }

        yield return ExpectedTensor.Vector("model.norm.weight", hidden);
        if (!config.TieWordEmbeddings) yield return ExpectedTensor.Matrix("lm_head.weight", config.VocabularySize, hidden);
    }

    /// <summary>Query, key and value projections; their biases count as expected where the first is there.</summary>
    private static IEnumerable<ExpectedTensor> Qkv(TensorCatalog catalog, string attention, int queries, int keys, int columns)
    {
        (string Name, int Rows)[] parts = [("q_proj", queries), ("k_proj", keys), ("v_proj", keys)];
        foreach (var (name, rows) in parts) yield return ExpectedTensor.Matrix($"{attention}{name}.weight", rows, columns);
        if (!catalog.Has($"{attention}q_proj.bias")) yield break;
        foreach (var (name, rows) in parts) yield return ExpectedTensor.Vector($"{attention}{name}.bias", rows);
    }
}
