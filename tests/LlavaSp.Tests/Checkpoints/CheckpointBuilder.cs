using System.Text.Json.Nodes;
using LlavaSp.Checkpoints;

namespace LlavaSp.Tests.Checkpoints;

/// <summary>A checkpoint in memory, taken from the goldens and changed, then written as a folder.</summary>
internal sealed class CheckpointBuilder
{
    private static readonly string[] SideFiles = ["tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json"];

    private readonly string _golden;

    private CheckpointBuilder(string golden) => _golden = golden;

    /// <summary>Tensors under the names that they will have in the file.</summary>
    public Dictionary<string, (TensorInfo Info, byte[] Bytes)> Tensors { get; private set; } = [];

    public JsonObject Config { get; set; } = [];

    public static CheckpointBuilder FromGolden(string name)
    {
        var builder = new CheckpointBuilder(name) { Config = JsonNode.Parse(File.ReadAllText(Path.Combine(Goldens.Checkpoint(name), "config.json")))!.AsObject() };
        using ITensorSource source = TensorFolder.Open(Goldens.Checkpoint(name), "model");
        foreach (TensorInfo info in source.Tensors.Values) builder.Tensors[info.Name] = (info, source.GetBytes(info.Name).ToArray());
        return builder;
    }

    /// <summary>LLaVA without spatial tokens: the same checkpoint without their tensors.</summary>
    public CheckpointBuilder WithoutSpatialTokens()
    {
        foreach (string name in Tensors.Keys.Where(name => NameMap.Stage(NameMap.Canonical(name)) == "spatial tokens").ToArray()) Tensors.Remove(name);
        return this;
    }

    /// <summary>Renames every tensor; null drops it.</summary>
    public CheckpointBuilder Rename(Func<string, string?> rename)
    {
        var renamed = new Dictionary<string, (TensorInfo Info, byte[] Bytes)>();
        foreach ((string name, (TensorInfo info, byte[] bytes)) in Tensors)
        {
            if (rename(name) is { } other) renamed.Add(other, (info with { Name = other }, bytes));
        }

        Tensors = renamed;
        return this;
    }

    /// <summary>Replaces the elements of a float32 tensor.</summary>
    public CheckpointBuilder Edit(string name, Action<float[]> edit)
    {
        (TensorInfo info, byte[] bytes) = Tensors[name];
        Assert.Equal(DType.F32, info.DType);
        var values = new float[bytes.Length / 4];
        Buffer.BlockCopy(bytes, 0, values, 0, bytes.Length);
        edit(values);
        var edited = new byte[bytes.Length];
        Buffer.BlockCopy(values, 0, edited, 0, bytes.Length);
        Tensors[name] = (info, edited);
        return this;
    }

    /// <summary>Gives a tensor another shape, cut or filled with zeros.</summary>
    public CheckpointBuilder Reshape(string name, params long[] shape)
    {
        (TensorInfo info, byte[] bytes) = Tensors[name];
        TensorInfo other = info with { Shape = shape };
        Array.Resize(ref bytes, (int)other.ByteLength);
        Tensors[name] = (other, bytes);
        return this;
    }

    /// <summary>Writes everything into a folder and returns it.</summary>
    public string Write(string folder, bool sideFiles = true)
    {
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "config.json"), Config.ToJsonString());
        WriteTensors(Path.Combine(folder, "model.safetensors"));
        foreach (string name in SideFiles.Where(_ => sideFiles))
        {
            string source = Path.Combine(Goldens.Checkpoint(_golden), name);
            if (File.Exists(source)) File.Copy(source, Path.Combine(folder, name), overwrite: true);
        }

        return folder;
    }

    public void WriteTensors(string path)
    {
        using SafetensorsWriter writer = SafetensorsWriter.Create(path, [.. Tensors.Values.Select(tensor => tensor.Info)]);
        foreach ((TensorInfo info, byte[] bytes) in Tensors.Values)
        {
            writer.Begin(info.Name);
            writer.Write(bytes);
        }

        writer.Complete();
    }

    /// <summary>The config of the CLIP folder that the goldens name.</summary>
    public static string ClipFolder => Path.Combine(Goldens.Checkpoints, "openai", "clip-vit-tiny-patch14-336");

    /// <summary>transformers' LlavaConfig or LlavaNextConfig from upstream's.</summary>
    public CheckpointBuilder WithTransformersConfig()
    {
        JsonObject upstream = Config;
        bool next = (string?)upstream["image_aspect_ratio"] == "anyres";
        var text = new JsonObject { ["model_type"] = "llama" };
        foreach (string field in (string[])
                 ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size", "max_position_embeddings",
                     "rms_norm_eps", "rope_theta"])
            text[field] = upstream[field]!.DeepClone();
        JsonNode clip = JsonNode.Parse(File.ReadAllText(Path.Combine(ClipFolder, "config.json")))!;
        Config = new JsonObject
        {
            ["architectures"] = new JsonArray(next ? "LlavaNextForConditionalGeneration" : "LlavaForConditionalGeneration"),
            ["model_type"] = next ? "llava_next" : "llava",
            ["text_config"] = text,
            ["vision_config"] = clip["vision_config"]!.DeepClone(),
            ["vision_feature_layer"] = -2,
            ["vision_feature_select_strategy"] = "default",
            ["projector_hidden_act"] = "gelu",
        };
        if (next) Config["image_grid_pinpoints"] = upstream["image_grid_pinpoints"]!.DeepClone();
        else Config["image_aspect_ratio"] = "pad";
        return this;
    }

    /// <summary>Names of transformers up to 4.51.</summary>
    public static string OldTransformersName(string published) => NameMap.Canonical(published) switch
    {
        var name when NameMap.IsVision(name) => $"vision_tower.{name}",
        var name when name.StartsWith("mm_projector.", StringComparison.Ordinal) => Projector(name),
        "image_newline" => "image_newline",
        var name => $"language_model.{name}",
    };

    /// <summary>Names of later releases of transformers.</summary>
    public static string NewTransformersName(string published) => NameMap.Canonical(published) switch
    {
        "lm_head.weight" => "lm_head.weight",
        "image_newline" => "model.image_newline",
        var name when NameMap.IsVision(name) => $"model.vision_tower.{name}",
        var name when name.StartsWith("mm_projector.", StringComparison.Ordinal) => $"model.{Projector(name)}",
        var name => $"model.language_model.{name["model.".Length..]}",
    };

    private static string Projector(string name) => "multi_modal_projector." + name["mm_projector.".Length..]
        .Replace("0.", "linear_1.", StringComparison.Ordinal).Replace("2.", "linear_2.", StringComparison.Ordinal);
}
