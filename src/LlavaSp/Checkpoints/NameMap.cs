using System.Text.RegularExpressions;

namespace LlavaSp.Checkpoints;

/// <summary>
/// One name for each tensor, whoever published it. Canonical names: <c>model.layers.N…</c>, <c>model.embed_tokens.weight</c>, <c>model.norm.weight</c>,
/// <c>lm_head.weight</c> for the decoder; <c>vision_model…</c> for CLIP; <c>mm_projector…</c>, <c>conv_4…</c>, <c>conv_CM…</c>, <c>query_projector…</c>,
/// <c>image_newline</c> for what lies between.
/// </summary>
internal static partial class NameMap
{
    private static readonly string[] DecoderParts = ["layers.", "embed_tokens.", "norm."];

    /// <summary>The canonical name of a published one.</summary>
    public static string Canonical(string name)
    {
        string rest = name;
        // LoRA side files: base_model.model.model.conv_4.weight (peft wraps the model twice).
        if (Strip(ref rest, "base_model.")) Strip(ref rest, "model.");
        if (rest.StartsWith("model.model.", StringComparison.Ordinal)) Strip(ref rest, "model.");

        // transformers' LlavaForConditionalGeneration, old and new layout.
        string inner = rest;
        Strip(ref inner, "model.");
        if (Strip(ref inner, "language_model."))
        {
            Strip(ref inner, "model.");
            return inner.StartsWith("lm_head.", StringComparison.Ordinal) ? inner : $"model.{inner}";
        }

        if (Strip(ref inner, "multi_modal_projector."))
            return "mm_projector." + inner.Replace("linear_1.", "0.", StringComparison.Ordinal).Replace("linear_2.", "2.", StringComparison.Ordinal);
        int vision = inner.IndexOf("vision_model.", StringComparison.Ordinal);
        if (vision >= 0) return inner[vision..];
        return DecoderParts.Any(part => inner.StartsWith(part, StringComparison.Ordinal)) ? $"model.{inner}" : inner;
    }

    /// <summary>The name under which upstream publishes a canonical one: the inverse of <see cref="Canonical"/>.</summary>
    public static string Published(string canonical) => canonical switch
    {
        _ when IsVision(canonical) => $"model.vision_tower.vision_tower.{canonical}",
        _ when canonical.StartsWith("lm_head.", StringComparison.Ordinal) || canonical.StartsWith("model.", StringComparison.Ordinal) => canonical,
        _ => $"model.{canonical}",
    };

    /// <summary>Buffers that older releases stored and that are computed here.</summary>
    public static bool IsDerived(string canonical) =>
        canonical.EndsWith(".rotary_emb.inv_freq", StringComparison.Ordinal) || canonical.EndsWith(".position_ids", StringComparison.Ordinal);

    /// <summary>Parts of a CLIP checkpoint that LLaVA never runs: the text model and the contrastive heads.</summary>
    public static bool IsForeign(string canonical) =>
        canonical.StartsWith("text_model.", StringComparison.Ordinal) || canonical is "logit_scale" or "text_projection.weight" or "visual_projection.weight";

    /// <summary>Whether the tensor belongs to the vision tower.</summary>
    public static bool IsVision(string canonical) => canonical.StartsWith("vision_model.", StringComparison.Ordinal);

    /// <summary>Stage of the graph that a tensor belongs to.</summary>
    public static string Stage(string canonical) => canonical switch
    {
        _ when IsVision(canonical) => "vision tower",
        _ when canonical.StartsWith("mm_projector", StringComparison.Ordinal) => "projector",
        "image_newline" => "projector",
        _ when SpatialPart().IsMatch(canonical) => "spatial tokens",
        _ when canonical.StartsWith("model.embed_tokens.", StringComparison.Ordinal) => "embedding",
        _ when canonical.StartsWith("model.", StringComparison.Ordinal) || canonical.StartsWith("lm_head.", StringComparison.Ordinal) => "decoder",
        _ => "other",
    };

    /// <summary>Kernel size in <c>conv_8.weight</c> (cropping, or no pooling needed) and <c>conv_8.1.weight</c> (after a pooling module).</summary>
    [GeneratedRegex(@"^conv_(?<size>[0-9]{1,4})(?<pooled>\.1)?\.weight$", RegexOptions.CultureInvariant)]
    public static partial Regex SpatialKernel();

    [GeneratedRegex(@"^(conv_([0-9]+|CM|linear)|query_projector|key_projector|value_projector)\.", RegexOptions.CultureInvariant)]
    private static partial Regex SpatialPart();

    private static bool Strip(ref string name, string prefix)
    {
        if (!name.StartsWith(prefix, StringComparison.Ordinal)) return false;
        name = name[prefix.Length..];
        return true;
    }
}
