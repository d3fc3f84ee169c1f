using System.Text.Encodings.Web;
using System.Text.Json;
using LlavaSp.Backends;
using LlavaSp.Graph;
using LlavaSp.Imaging;
using LlavaSp.Quantization;

namespace LlavaSp.Checkpoints;

/// <summary>
/// Writes config.json of a merged checkpoint in the form of upstream's LlavaConfig, plus <c>vision_config</c> (so that the folder needs no CLIP folder
/// beside it) and <c>quantization_config</c>.
/// </summary>
internal static class MergedConfig
{
    private static readonly JsonWriterOptions Style = new() { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes the file.</summary>
    public static void Write(string path, ModelCheckpoint checkpoint, WeightFormat format)
    {
        using FileStream stream = new(path, FileMode.CreateNew, FileAccess.Write);
        using Utf8JsonWriter json = new(stream, Style);
        json.WriteStartObject();
        HashSet<string> ours = ["torch_dtype", "tie_word_embeddings", "vision_config", "quantization_config"];
        // transformers' form is translated; upstream's is kept field by field, also those that this runtime does not know.
        bool translate = checkpoint.Config.Has("text_config") || !checkpoint.Config.Has("num_hidden_layers");
        if (translate) WriteTranslated(json, checkpoint);
        else CopyFields(json, checkpoint.Config.Element, ours);

        json.WriteString("torch_dtype", format.Kind switch
        {
            WeightKind.F32 => "float32",
            WeightKind.BF16 => "bfloat16",
            _ => "float16",
        });
        bool split = OutputTensors.SplitsTiedEmbeddings(checkpoint.Decoder, WeightPlan.For(format));
        json.WriteBoolean("tie_word_embeddings", checkpoint.Decoder.TieWordEmbeddings && !split);
        WriteVision(json, checkpoint.Vision);
        if (format.IsInteger) WriteQuantization(json, format);
        json.WriteEndObject();
        json.Flush();
    }

    private static void CopyFields(Utf8JsonWriter json, JsonElement source, HashSet<string> except)
    {
        var fields = new Dictionary<string, JsonElement>();
        foreach (JsonProperty field in source.EnumerateObject()) fields[field.Name] = field.Value;
        foreach ((string name, JsonElement value) in fields)
        {
            if (except.Contains(name)) continue;
            json.WritePropertyName(name);
            value.WriteTo(json);
        }
    }

    private static void WriteTranslated(Utf8JsonWriter json, ModelCheckpoint checkpoint)
    {
        DecoderConfig decoder = checkpoint.Decoder;
        json.WriteStartArray("architectures");
        json.WriteStringValue("LlavaLlamaForCausalLM");
        json.WriteEndArray();
        json.WriteString("model_type", "llava_llama");
        json.WriteNumber("hidden_size", decoder.HiddenSize);
        json.WriteNumber("intermediate_size", decoder.IntermediateSize);
        json.WriteNumber("num_hidden_layers", decoder.Layers);
        json.WriteNumber("num_attention_heads", decoder.Heads);
        json.WriteNumber("num_key_value_heads", decoder.KvHeads);
        json.WriteNumber("head_dim", decoder.HeadDim);
        json.WriteNumber("vocab_size", decoder.VocabularySize);
        json.WriteNumber("max_position_embeddings", decoder.MaxPositions);
        if (decoder.SlidingWindow != int.MaxValue) json.WriteNumber("sliding_window", decoder.SlidingWindow);
        json.WriteNumber("rms_norm_eps", decoder.NormEpsilon);
        json.WriteNumber("rope_theta", decoder.RopeTheta);
        json.WriteString("hidden_act", "silu");
        if (decoder.RopeScaling != RopeScalingKind.None)
        {
            json.WriteStartObject("rope_scaling");
            json.WriteString("type", decoder.RopeScaling == RopeScalingKind.Linear ? "linear" : "dynamic");
            json.WriteNumber("factor", decoder.RopeFactor);
            json.WriteEndObject();
        }

        json.WriteStartArray("eos_token_id");
        foreach (int id in checkpoint.EndIds) json.WriteNumberValue(id);
        json.WriteEndArray();
        WriteMultimodal(json, checkpoint);
    }

    private static void WriteMultimodal(Utf8JsonWriter json, ModelCheckpoint checkpoint)
    {
        MultimodalConfig config = checkpoint.Multimodal;
        json.WriteString("image_aspect_ratio", config.ImageAspectRatio);
        json.WriteString("mm_patch_merge_type", config.PatchMergeType switch
        {
            PatchMergeType.Spatial => "spatial",
            PatchMergeType.SpatialUnpad => "spatial_unpad",
            _ => "flat",
        });
        json.WriteString("mm_projector_type", config.ProjectorType);
        json.WriteNumber("mm_hidden_size", checkpoint.Vision.HiddenSize);
        json.WriteNumber("mm_vision_select_layer", config.SelectLayer);
        json.WriteString("mm_vision_select_feature", config.DropClassToken ? "patch" : "cls_patch");
        json.WriteBoolean("mm_use_im_start_end", config.UseStartEnd);
        if (config.VisionTower is not null) json.WriteString("mm_vision_tower", config.VisionTower);
        if (config.MaxSequenceLength is { } length) json.WriteNumber("tokenizer_model_max_length", length);
        if (config.GridPinpoints.Length == 0) return;
        json.WriteStartArray("image_grid_pinpoints");
        foreach ((int width, int height) in config.GridPinpoints)
        {
            json.WriteStartArray();
            json.WriteNumberValue(width);
            json.WriteNumberValue(height);
            json.WriteEndArray();
        }

        json.WriteEndArray();
    }

    private static void WriteVision(Utf8JsonWriter json, VisionConfig vision)
    {
        json.WriteStartObject("vision_config");
        json.WriteString("model_type", "clip_vision_model");
        json.WriteNumber("image_size", vision.ImageSize);
        json.WriteNumber("patch_size", vision.PatchSize);
        json.WriteNumber("hidden_size", vision.HiddenSize);
        json.WriteNumber("intermediate_size", vision.IntermediateSize);
        json.WriteNumber("num_hidden_layers", vision.Layers);
        json.WriteNumber("num_attention_heads", vision.Heads);
        json.WriteNumber("layer_norm_eps", vision.NormEpsilon);
        json.WriteString("hidden_act", vision.Activation == Activation.Gelu ? "gelu" : "quick_gelu");
        json.WriteEndObject();
    }

    private static void WriteQuantization(Utf8JsonWriter json, WeightFormat format)
    {
        json.WriteStartObject("quantization_config");
        json.WriteString("quant_method", QuantizedConfig.Method);
        json.WriteString("weights", format.Kind == WeightKind.Int8 ? "int8" : "int4");
        json.WriteNumber("group_size", format.GroupSize);
        json.WriteEndObject();
    }
}

/// <summary>Writes the index of a checkpoint in several files.</summary>
internal static class ShardIndexWriter
{
    /// <summary>Writes the file that tells which tensor lies where.</summary>
    public static void Write(string path, IReadOnlyList<IReadOnlyList<OutputTensor>> shards, Func<int, string> fileName)
    {
        using FileStream stream = new(path, FileMode.CreateNew, FileAccess.Write);
        using Utf8JsonWriter json = new(stream, new JsonWriterOptions { Indented = true });
        json.WriteStartObject();
        json.WriteStartObject("metadata");
        json.WriteNumber("total_size", shards.Sum(shard => shard.Sum(tensor => tensor.ByteLength)));
        json.WriteEndObject();
        json.WriteStartObject("weight_map");
        for (int i = 0; i < shards.Count; i++)
        {
            foreach (TensorInfo info in shards[i].SelectMany(tensor => tensor.Infos)) json.WriteString(info.Name, fileName(i));
        }

        json.WriteEndObject();
        json.WriteEndObject();
        json.Flush();
    }
}
