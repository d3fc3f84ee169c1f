using System.Text.Json;
using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Imaging;
using LlavaSp.TrainDemo.Files;
using LlavaSp.TrainDemo.Model;
using LlavaSp.TrainDemo.Training;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace LlavaSp.TrainDemo.Export;

/// <summary>
/// Writes the models as LLaVA's are published: a base language model, a CLIP, and for each variant an adapter with non_lora_trainables. Halves throughout.
/// </summary>
internal sealed class CheckpointExporter(string folder, DecoderConfig decoder, string tokenizerFolder)
{
    private const string Name = "llava-sp-v1-demo", Base = $"{Name}-base", PeftPrefix = "base_model.model.";

    private static readonly JsonWriterOptions Indented = new() { Indented = true };

    /// <summary>Folder name of a variant: "lora" in it is what upstream's loader goes by, "v1" what the template is chosen by.</summary>
    public static string NameOf(SpatialMode? variant) => $"{Name}-{variant?.ToString().ToLowerInvariant() ?? "none"}-lora";

    /// <summary>The base language model and CLIP.</summary>
    public void WriteStart(NamedWeights weights)
    {
        string model = Create(Base);
        Store(model, "model", weights.All.Where(pair => IsDecoder(pair.Key)));
        Json(model, "config.json", WriteLlama);
        CopyTokenizer(model);

        string clip = Create(DemoModel.Multimodal.VisionTower!);
        Store(clip, "model", weights.All.Where(pair => pair.Key.StartsWith(VisionTower.Prefix, StringComparison.Ordinal))
            .Select(pair => KeyValuePair.Create(NameMap.Canonical(pair.Key), pair.Value)));
        Json(clip, "config.json", WriteClip);
        Json(clip, "preprocessor_config.json", WritePreprocessor);
    }

    /// <summary>One variant: what differs from the base.</summary>
    public void WriteVariant(NamedWeights weights, SpatialMode? variant)
    {
        string model = Create(NameOf(variant));
        Store(model, "adapter_model", weights.All.Where(pair => pair.Key.Contains(".lora_", StringComparison.Ordinal)).Select(WithPeft));
        Store(model, "non_lora_trainables", weights.All.Where(pair => Phase.IsBetween(pair.Key)).Select(WithPeft));
        Json(model, "adapter_config.json", WriteAdapter);
        Json(model, "config.json", WriteLlava);
        CopyTokenizer(model);

        static KeyValuePair<string, Tensor> WithPeft(KeyValuePair<string, Tensor> pair) => KeyValuePair.Create(PeftPrefix + pair.Key, pair.Value);
    }

    private static bool IsDecoder(string name) =>
        name.StartsWith("model.layers.", StringComparison.Ordinal) || name is "model.embed_tokens.weight" or "model.norm.weight" or "lm_head.weight";

    private string Create(string name) => Directory.CreateDirectory(Path.Combine(folder, name)).FullName;

    private static void Store(string model, string file, IEnumerable<KeyValuePair<string, Tensor>> tensors) =>
        StoredWeights.Write(Path.Combine(model, $"{file}.safetensors"), tensors, DType.F16);

    private void CopyTokenizer(string model)
    {
        foreach (string file in Directory.GetFiles(tokenizerFolder)) File.Copy(file, Path.Combine(model, Path.GetFileName(file)), overwrite: true);
    }

    private static void Json(string model, string file, Action<Utf8JsonWriter> fields)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, Indented))
        {
            json.WriteStartObject();
            fields(json);
            json.WriteEndObject();
        }

        File.WriteAllBytes(Path.Combine(model, file), [.. stream.ToArray(), (byte)'\n']);
    }

    private void WriteDecoder(Utf8JsonWriter json, string architecture, string type)
    {
        json.WriteStartArray("architectures");
        json.WriteStringValue(architecture);
        json.WriteEndArray();
        json.WriteString("model_type", type);
        json.WriteNumber("hidden_size", decoder.HiddenSize);
        json.WriteNumber("intermediate_size", decoder.IntermediateSize);
        json.WriteNumber("num_hidden_layers", decoder.Layers);
        json.WriteNumber("num_attention_heads", decoder.Heads);
        json.WriteNumber("num_key_value_heads", decoder.KvHeads);
        json.WriteNumber("vocab_size", decoder.VocabularySize);
        json.WriteNumber("max_position_embeddings", decoder.MaxPositions);
        json.WriteNumber("rms_norm_eps", 1e-5);
        json.WriteNumber("rope_theta", decoder.RopeTheta);
        json.WriteNull("rope_scaling");
        json.WriteString("hidden_act", "silu");
        json.WriteNumber("bos_token_id", 1);
        json.WriteNumber("eos_token_id", 2);
        json.WriteNumber("pad_token_id", 0);
        json.WriteBoolean("tie_word_embeddings", false);
        json.WriteString("torch_dtype", "float16");
    }

    private void WriteLlama(Utf8JsonWriter json) => WriteDecoder(json, "LlamaForCausalLM", "llama");

    private void WriteLlava(Utf8JsonWriter json)
    {
        WriteDecoder(json, "LlavaLlamaForCausalLM", "llava_llama");
        MultimodalConfig between = DemoModel.Multimodal;
        json.WriteString("mm_vision_tower", between.VisionTower);
        json.WriteString("mm_projector_type", between.ProjectorType);
        json.WriteNumber("mm_hidden_size", DemoModel.Vision.HiddenSize);
        json.WriteNumber("mm_vision_select_layer", between.SelectLayer);
        json.WriteString("mm_vision_select_feature", "patch");
        json.WriteString("mm_patch_merge_type", "flat");
        json.WriteString("image_aspect_ratio", between.ImageAspectRatio);
        json.WriteBoolean("mm_use_im_start_end", between.UseStartEnd);
        json.WriteBoolean("mm_use_im_patch_token", false);
        json.WriteBoolean("use_mm_proj", true);
        json.WriteNumber("tokenizer_model_max_length", between.MaxSequenceLength!.Value);
    }

    private static void WriteAdapter(Utf8JsonWriter json)
    {
        json.WriteString("peft_type", "LORA");
        json.WriteString("task_type", "CAUSAL_LM");
        json.WriteString("base_model_name_or_path", Base);
        json.WriteNumber("r", DemoModel.LoraRank);
        json.WriteNumber("lora_alpha", DemoModel.LoraAlpha);
        json.WriteNumber("lora_dropout", 0);
        json.WriteString("bias", "none");
        json.WriteBoolean("fan_in_fan_out", false);
        json.WriteBoolean("inference_mode", true);
        json.WriteStartArray("target_modules");
        foreach (string module in (string[])["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]) json.WriteStringValue(module);
        json.WriteEndArray();
    }

    private static void WriteClip(Utf8JsonWriter json)
    {
        VisionConfig vision = DemoModel.Vision;
        json.WriteString("model_type", "clip");
        json.WriteStartObject("vision_config");
        json.WriteString("model_type", "clip_vision_model");
        json.WriteNumber("hidden_size", vision.HiddenSize);
        json.WriteNumber("intermediate_size", vision.IntermediateSize);
        json.WriteNumber("num_hidden_layers", vision.Layers);
        json.WriteNumber("num_attention_heads", vision.Heads);
        json.WriteNumber("num_channels", 3);
        json.WriteNumber("image_size", vision.ImageSize);
        json.WriteNumber("patch_size", vision.PatchSize);
        json.WriteString("hidden_act", "quick_gelu");
        json.WriteNumber("layer_norm_eps", 1e-5);
        json.WriteEndObject();
    }

    private static void WritePreprocessor(Utf8JsonWriter json)
    {
        int side = DemoModel.Vision.ImageSize;
        PreprocessorConfig clip = PreprocessorConfig.ClipDefault(side);
        json.WriteString("feature_extractor_type", "CLIPFeatureExtractor");
        json.WriteNumber("crop_size", side);
        json.WriteNumber("size", side);
        json.WriteNumber("resample", 3);
        json.WriteBoolean("do_resize", true);
        json.WriteBoolean("do_center_crop", true);
        json.WriteBoolean("do_normalize", true);
        Numbers("image_mean", clip.Mean);
        Numbers("image_std", clip.Std);

        void Numbers(string name, IEnumerable<double> values)
        {
            json.WriteStartArray(name);
            foreach (double value in values) json.WriteNumberValue(value);
            json.WriteEndArray();
        }
    }
}
