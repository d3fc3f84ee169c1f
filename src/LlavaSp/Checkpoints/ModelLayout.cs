using System.Globalization;
using LlavaSp.Backends;
using LlavaSp.Graph;
using LlavaSp.Imaging;
using LlavaSp.Quantization;

namespace LlavaSp.Checkpoints;

/// <summary>What a tensor is for, as far as its storage depends on it.</summary>
internal enum TensorRole
{
    /// <summary>Norm, bias, position table, class token, newline: never quantised.</summary>
    Vector,

    /// <summary>Projection of a decoder layer.</summary>
    Decoder,

    /// <summary>Output matrix.</summary>
    Head,

    /// <summary>Embedding table.</summary>
    Embedding,

    /// <summary>Linear layer of the vision tower, the projector or the spatial tokens.</summary>
    Vision,

    /// <summary>Patch embedding.</summary>
    Patches,

    /// <summary>Convolution of the spatial tokens [rows, channels, k, k].</summary>
    Kernel,
}

/// <summary>Whether the graph reads a tensor.</summary>
internal enum TensorNeed
{
    /// <summary>The model cannot run without it.</summary>
    Required,

    /// <summary>Read where the checkpoint has it: a bias.</summary>
    Optional,

    /// <summary>Part of a published checkpoint that no answer needs: layers behind the selected hidden state.</summary>
    Unread,
}

/// <summary>A tensor that the model has.</summary>
/// <param name="Name">Canonical name.</param>
/// <param name="Role">What it is for.</param>
/// <param name="Shape">Its shape as a floating-point tensor.</param>
/// <param name="Need">Whether the graph reads it.</param>
internal sealed record LayoutTensor(string Name, TensorRole Role, long[] Shape, TensorNeed Need = TensorNeed.Required)
{
    /// <summary>Output features.</summary>
    public long Rows => Shape[0];

    /// <summary>Elements of a row.</summary>
    public long Columns => Shape.Skip(1).Aggregate(1L, static (product, size) => checked(product * size));
}

/// <summary>Every tensor of a model, from its configs: names, shapes, roles.</summary>
internal static class ModelLayout
{
    /// <summary>Tensors of an opened checkpoint.</summary>
    public static IEnumerable<LayoutTensor> Of(ModelCheckpoint checkpoint) => Of(
        checkpoint.Decoder, checkpoint.Vision, checkpoint.Multimodal, checkpoint.Spatial, k => SpatialConfig.KernelName(checkpoint.Catalog, k));

    /// <summary>Tensors of a model with these configs.</summary>
    /// <param name="decoder">Decoder.</param>
    /// <param name="vision">Vision tower.</param>
    /// <param name="multimodal">Projector, tiles.</param>
    /// <param name="spatial">Variant.</param>
    /// <param name="kernelName">Name of the convolution of size k.</param>
    public static IEnumerable<LayoutTensor> Of(
        DecoderConfig decoder, VisionConfig vision, MultimodalConfig multimodal, SpatialConfig spatial, Func<int, string> kernelName) =>
        [.. Vision(vision, multimodal), .. Spatial(vision, decoder, spatial, kernelName), .. Between(vision, decoder, multimodal), .. Decoder(decoder)];

    /// <summary>Format of a role under a plan; null for vectors, which keep their own.</summary>
    public static WeightFormat? FormatOf(this WeightPlan plan, TensorRole role) => role switch
    {
        TensorRole.Decoder => plan.Decoder,
        TensorRole.Head => plan.Head,
        TensorRole.Embedding => plan.Embedding,
        TensorRole.Vision => plan.Vision,
        TensorRole.Patches => plan.Patches,
        TensorRole.Kernel => plan.Spatial,
        _ => null,
    };

    private static IEnumerable<LayoutTensor> Vision(VisionConfig config, MultimodalConfig multimodal)
    {
        const string Model = "vision_model.", Embeddings = $"{Model}embeddings.";
        long d = config.HiddenSize, inner = config.IntermediateSize, cells = (long)config.Grid * config.Grid;
        // Layers behind the selected hidden state never run, and some checkpoints leave them out.
        int selected = multimodal.SelectedState(config);
        yield return new LayoutTensor($"{Embeddings}class_embedding", TensorRole.Vector, [d]);
        yield return new LayoutTensor($"{Embeddings}patch_embedding.weight", TensorRole.Patches, [d, 3, config.PatchSize, config.PatchSize]);
        yield return new LayoutTensor($"{Embeddings}position_embedding.weight", TensorRole.Vector, [cells + 1, d]);
        foreach (LayoutTensor tensor in Norm($"{Model}pre_layrnorm", d)) yield return tensor;
        for (int i = 0; i < config.Layers; i++)
        {
            TensorNeed need = i < selected ? TensorNeed.Required : TensorNeed.Unread, biasNeed = i < selected ? TensorNeed.Optional : TensorNeed.Unread;
            string p = $"{Model}encoder.layers.{i}.", attention = $"{p}self_attn.";
            foreach (LayoutTensor tensor in Norm($"{p}layer_norm1", d, need)) yield return tensor;
            foreach (string part in (string[])["q_proj", "k_proj", "v_proj"])
            {
                yield return new LayoutTensor($"{attention}{part}.weight", TensorRole.Vision, [d, d], need);
                yield return new LayoutTensor($"{attention}{part}.bias", TensorRole.Vector, [d], biasNeed);
            }

            foreach (LayoutTensor tensor in Linear($"{attention}out_proj", d, d, need)) yield return tensor;
            foreach (LayoutTensor tensor in Norm($"{p}layer_norm2", d, need)) yield return tensor;
            foreach (LayoutTensor tensor in Linear($"{p}mlp.fc1", inner, d, need)) yield return tensor;
            foreach (LayoutTensor tensor in Linear($"{p}mlp.fc2", d, inner, need)) yield return tensor;
        }

        foreach (LayoutTensor tensor in Norm($"{Model}post_layernorm", d, TensorNeed.Unread)) yield return tensor;
    }

    private static IEnumerable<LayoutTensor> Spatial(VisionConfig vision, DecoderConfig decoder, SpatialConfig config, Func<int, string> kernelName)
    {
        if (config.Mode is null) yield break;
        long width = config.Width;
        bool fused = config.Mode == SpatialMode.Cropping;
        foreach (int k in config.KernelSizes) yield return new LayoutTensor(kernelName(k), TensorRole.Kernel, [width, vision.HiddenSize, k, k]);
        if (fused)
        {
            int k = config.FusionKernelSize;
            yield return new LayoutTensor("conv_CM.weight", TensorRole.Kernel, [width, vision.HiddenSize, k, k]);
            foreach (string name in (string[])["query_projector", "key_projector", "value_projector"])
            {
                foreach (LayoutTensor tensor in Norm($"{name}.0", width)) yield return tensor;
                foreach (LayoutTensor tensor in Linear($"{name}.1", width, width)) yield return tensor;
            }
        }

        yield return new LayoutTensor("conv_linear.1.weight", TensorRole.Vision, [decoder.HiddenSize, fused ? 2 * width : width]);
        yield return new LayoutTensor("conv_linear.1.bias", TensorRole.Vector, [decoder.HiddenSize], TensorNeed.Optional);
    }

    private static IEnumerable<LayoutTensor> Between(VisionConfig vision, DecoderConfig decoder, MultimodalConfig config)
    {
        long hidden = decoder.HiddenSize;
        string[] layers = [.. Projector.LayerNames(config.ProjectorType)];
        for (int i = 0; i < layers.Length; i++)
            foreach (LayoutTensor tensor in Linear(layers[i], hidden, i == 0 ? vision.HiddenSize : hidden)) yield return tensor;
        bool newline = config.ImageAspectRatio == "anyres" && config.PatchMergeType == PatchMergeType.SpatialUnpad;
        yield return new LayoutTensor("image_newline", TensorRole.Vector, [hidden], newline ? TensorNeed.Required : TensorNeed.Unread);
    }

    private static IEnumerable<LayoutTensor> Decoder(DecoderConfig config)
    {
        long d = config.HiddenSize, queries = (long)config.Heads * config.HeadDim, keys = (long)config.KvHeads * config.HeadDim, inner = config.IntermediateSize;
        yield return new LayoutTensor("model.embed_tokens.weight", TensorRole.Embedding, [config.VocabularySize, d]);
        for (int i = 0; i < config.Layers; i++)
        {
            string p = string.Create(CultureInfo.InvariantCulture, $"model.layers.{i}."), attention = $"{p}self_attn.";
            yield return new LayoutTensor($"{p}input_layernorm.weight", TensorRole.Vector, [d]);
            foreach ((string part, long rows, long columns) in ((string, long, long)[])
                     [("q_proj", queries, d), ("k_proj", keys, d), ("v_proj", keys, d), ("o_proj", d, queries)])
            {
                yield return new LayoutTensor($"{attention}{part}.weight", TensorRole.Decoder, [rows, columns]);
                yield return new LayoutTensor($"{attention}{part}.bias", TensorRole.Vector, [rows], TensorNeed.Optional);
            }

            yield return new LayoutTensor($"{p}post_attention_layernorm.weight", TensorRole.Vector, [d]);
            yield return new LayoutTensor($"{p}mlp.gate_proj.weight", TensorRole.Decoder, [inner, d]);
            yield return new LayoutTensor($"{p}mlp.up_proj.weight", TensorRole.Decoder, [inner, d]);
            yield return new LayoutTensor($"{p}mlp.down_proj.weight", TensorRole.Decoder, [d, inner]);
        }

        yield return new LayoutTensor("model.norm.weight", TensorRole.Vector, [d]);
        if (!config.TieWordEmbeddings) yield return new LayoutTensor("lm_head.weight", TensorRole.Head, [config.VocabularySize, d]);
    }

    private static LayoutTensor[] Norm(string name, long width, TensorNeed need = TensorNeed.Required) =>
        [new($"{name}.weight", TensorRole.Vector, [width], need), new($"{name}.bias", TensorRole.Vector, [width], need)];

    private static LayoutTensor[] Linear(string name, long rows, long columns, TensorNeed need = TensorNeed.Required) =>
        [new($"{name}.weight", TensorRole.Vision, [rows, columns], need), new($"{name}.bias", TensorRole.Vector, [rows], need)];
}
