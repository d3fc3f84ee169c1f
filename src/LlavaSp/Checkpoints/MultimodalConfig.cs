using LlavaSp.Imaging;

namespace LlavaSp.Checkpoints;

/// <summary>How pictures enter the prompt: LLaVA's fields of config.json.</summary>
public sealed record MultimodalConfig
{
    /// <summary><c>pad</c>, <c>anyres</c>, or <c>square</c> (shortest edge and centre crop; upstream writes null).</summary>
    public required string ImageAspectRatio { get; init; }

    /// <summary>Order of the features of several tiles.</summary>
    public required PatchMergeType PatchMergeType { get; init; }

    /// <summary>Resolutions (width, height) that anyres may choose from.</summary>
    public required (int Width, int Height)[] GridPinpoints { get; init; }

    /// <summary>Hidden state that the vision tower gives, counted as Python does (-2: before the last layer).</summary>
    public required int SelectLayer { get; init; }

    /// <summary>Whether the class token is dropped (<c>patch</c>) or kept (<c>cls_patch</c>).</summary>
    public required bool DropClassToken { get; init; }

    /// <summary><c>linear</c>, <c>mlpNx_gelu</c> or <c>identity</c>.</summary>
    public required string ProjectorType { get; init; }

    /// <summary>Name or path of the CLIP checkpoint.</summary>
    public required string? VisionTower { get; init; }

    /// <summary>Whether pictures are wrapped in start and end tokens.</summary>
    public required bool UseStartEnd { get; init; }

    /// <summary>Length at which upstream cuts the spliced sequence; null when the config does not say.</summary>
    public required int? MaxSequenceLength { get; init; }

    /// <summary>Index of the hidden state that the vision tower gives: 0 is the embedding, i follows layer i; no later layer runs.</summary>
    /// <exception cref="CheckpointException">The tower has no such layer.</exception>
    internal int SelectedState(VisionConfig vision)
    {
        int selected = SelectLayer < 0 ? vision.Layers + 1 + SelectLayer : SelectLayer;
        return selected >= 0 && selected <= vision.Layers
            ? selected
            : throw new CheckpointException($"config.json: 'mm_vision_select_layer' {SelectLayer} does not exist in a tower of {vision.Layers} layers");
    }

    /// <summary>Reads upstream's fields, or those of transformers' LlavaConfig and LlavaNextConfig.</summary>
    /// <exception cref="CheckpointException">A field has an impossible value.</exception>
    internal static MultimodalConfig Parse(JsonConfig json)
    {
        string? type = json.Text("model_type");
        bool transformers = json.Has("text_config");
        string aspect = json.Text("image_aspect_ratio") ?? (type == "llava_next" ? "anyres" : "square");
        string merge = json.Text("mm_patch_merge_type") ?? (type == "llava_next" ? "spatial_unpad" : "flat");
        string select = json.Text("mm_vision_select_feature") ?? json.Text("vision_feature_select_strategy") ?? "patch";
        return new MultimodalConfig
        {
            ImageAspectRatio = OneOf(json, "image_aspect_ratio", aspect, "pad", "anyres", "square"),
            PatchMergeType = OneOf(json, "mm_patch_merge_type", merge, "flat", "spatial", "spatial_unpad") switch
            {
                "spatial" => PatchMergeType.Spatial,
                "spatial_unpad" => PatchMergeType.SpatialUnpad,
                _ => PatchMergeType.Flat,
            },
            GridPinpoints = json.Pairs("image_grid_pinpoints") ?? [],
            SelectLayer = transformers
                ? json.Int("vision_feature_layer", -2, int.MinValue)
                : json.Int("mm_vision_select_layer", -2, int.MinValue),
            DropClassToken = OneOf(json, "mm_vision_select_feature", select, "patch", "default", "cls_patch", "full") is "patch" or "default",
            ProjectorType = json.Text("mm_projector_type") ?? (transformers ? "mlp2x_gelu" : "linear"),
            VisionTower = json.Text("mm_vision_tower") ?? json.Text("vision_tower"),
            UseStartEnd = json.Bool("mm_use_im_start_end", false),
            MaxSequenceLength = json.Has("tokenizer_model_max_length") ? json.Int("tokenizer_model_max_length") : null,
        };
    }

    private static string OneOf(JsonConfig json, string name, string value, params ReadOnlySpan<string> known) => known.Contains(value)
        ? value
        : throw new CheckpointException($"{json.Path}: '{name}' is '{value}', known are {string.Join(", ", known.ToArray())}");
}
