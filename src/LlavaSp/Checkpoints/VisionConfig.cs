namespace LlavaSp.Checkpoints;

/// <summary>Sizes and constants of the CLIP vision tower.</summary>
public sealed record VisionConfig
{
    /// <summary>Edge of the input in pixels.</summary>
    public required int ImageSize { get; init; }

    /// <summary>Edge of a patch in pixels.</summary>
    public required int PatchSize { get; init; }

    /// <summary>Width of the residual stream.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>Width inside the MLP.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>Layers that the checkpoint has.</summary>
    public required int Layers { get; init; }

    /// <summary>Attention heads.</summary>
    public required int Heads { get; init; }

    /// <summary>Epsilon of LayerNorm.</summary>
    public required float NormEpsilon { get; init; }

    /// <summary>Activation of the MLP: quick-GELU in CLIP of OpenAI, GELU elsewhere.</summary>
    public required Backends.Activation Activation { get; init; }

    /// <summary>Patches along one edge.</summary>
    public int Grid => ImageSize / PatchSize;

    /// <summary>Reads transformers' CLIPVisionConfig, bare or inside a CLIPConfig or LlavaConfig; missing fields take that class's defaults.</summary>
    /// <exception cref="CheckpointException">A field has an impossible value.</exception>
    internal static VisionConfig Parse(JsonConfig json)
    {
        JsonConfig vision = json.Object("vision_config") ?? json;
        int hidden = vision.Int("hidden_size", 768, high: 1 << 16), heads = vision.Int("num_attention_heads", 12, high: 1 << 12);
        int image = vision.Int("image_size", 224, high: 1 << 13), patch = vision.Int("patch_size", 32, high: 1 << 10);
        if (hidden % heads != 0)
            throw new CheckpointException($"{vision.Path}: 'hidden_size' {hidden} is not a multiple of 'num_attention_heads' {heads}");
        if (patch > image) throw new CheckpointException($"{vision.Path}: 'patch_size' {patch} is larger than 'image_size' {image}");
        return new VisionConfig
        {
            ImageSize = image,
            PatchSize = patch,
            HiddenSize = hidden,
            IntermediateSize = vision.Int("intermediate_size", 3072, high: 1 << 18),
            Layers = vision.Int("num_hidden_layers", 12, high: 1024),
            Heads = heads,
            NormEpsilon = (float)vision.Positive("layer_norm_eps", 1e-5),
            Activation = (vision.Text("hidden_act") ?? "quick_gelu") switch
            {
                "quick_gelu" => Backends.Activation.QuickGelu,
                "gelu" => Backends.Activation.Gelu,
                var other => throw new CheckpointException($"{vision.Path}: 'hidden_act' is '{other}', only quick_gelu and gelu are supported"),
            },
        };
    }
}
