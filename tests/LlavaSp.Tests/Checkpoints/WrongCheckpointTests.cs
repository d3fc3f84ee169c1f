using System.Text;
using System.Text.Json.Nodes;
using CsCheck;
using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Quantization;

namespace LlavaSp.Tests.Checkpoints;

/// <summary>Checkpoints that do not hold together: one line that says what, where, and what to do.</summary>
public sealed class WrongCheckpointTests
{
    private const string Golden = "cropping-f32";

    [Fact]
    public void AMissingShardIsNamed()
    {
        using var folder = new TemporaryFolder();
        Copy("pooling-gqa-sharded-f32-anyres", folder["model"]);
        File.Delete(folder["model/model-00002-of-00002.safetensors"]);
        CheckpointFiles.Refuses(() => Load(folder["model"]), "model.safetensors.index.json", "model-00002-of-00002.safetensors", "missing");
    }

    [Theory]
    [InlineData("model.layers.1.mlp.down_proj.weight")]
    [InlineData("model.layers.2.input_layernorm.weight")]
    [InlineData("model.mm_projector.2.bias")]
    [InlineData("model.conv_CM.weight")]
    [InlineData("model.key_projector.1.weight")]
    [InlineData("model.vision_tower.vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight")]
    [InlineData("model.layers.0.self_attn.q_proj.weight")]
    [InlineData("lm_head.weight")]
    public void AMissingTensorIsNamed(string tensor)
    {
        using var folder = new TemporaryFolder();
        AddTowerConfig(folder);
        CheckpointBuilder.FromGolden(Golden).Rename(name => name == tensor ? null : name).Write(folder["model"]);
        CheckpointFiles.Refuses(() => Load(folder["model"]), folder["model"], NameMap.Canonical(tensor), "missing");
        CheckpointFiles.Refuses(() => Convert(folder["model"], folder["out"]), folder["model"], NameMap.Canonical(tensor), "missing");
        Assert.Equal(["model", "openai"], Directory.GetFileSystemEntries(folder.Root).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData("model.layers.1.mlp.down_proj.weight", new long[] { 64, 175 })]
    [InlineData("model.layers.1.mlp.down_proj.weight", new long[] { 176, 64 })]
    [InlineData("model.layers.0.self_attn.k_proj.weight", new long[] { 4096 })]
    [InlineData("model.norm.weight", new long[] { 65 })]
    [InlineData("model.embed_tokens.weight", new long[] { 513, 64 })]
    [InlineData("model.conv_8.weight", new long[] { 16, 32, 8, 9 })]
    [InlineData("model.conv_8.weight", new long[] { })]
    [InlineData("model.conv_4.weight", new long[] { 17, 32, 4, 4 })]
    [InlineData("model.conv_CM.weight", new long[] { 16, 16, 32, 16 })]
    [InlineData("model.conv_CM.weight", new long[] { 0 })]
    [InlineData("model.conv_linear.1.weight", new long[] { 64, 16 })]
    [InlineData("model.vision_tower.vision_tower.vision_model.embeddings.position_embedding.weight", new long[] { 257, 32 })]
    [InlineData("model.vision_tower.vision_tower.vision_model.embeddings.patch_embedding.weight", new long[] { 32, 3, 16, 16 })]
    [InlineData("model.vision_tower.vision_tower.vision_model.encoder.layers.2.self_attn.out_proj.bias", new long[] { 31 })]
    public void AShapeThatDoesNotFitTheConfigIsNamedWithItsFile(string tensor, long[] shape)
    {
        using var folder = new TemporaryFolder();
        AddTowerConfig(folder);
        CheckpointBuilder.FromGolden(Golden).Reshape(tensor, shape).Write(folder["model"]);
        CheckpointFiles.Refuses(() => Load(folder["model"]), folder["model"], "model.safetensors", tensor == "model.conv_4.weight" ? "conv_" : tensor);
        CheckpointFiles.Refuses(() => Convert(folder["model"], folder["out"]), folder["model"]);
        Assert.Equal(["model", "openai"], Directory.GetFileSystemEntries(folder.Root).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData("vision_model.embeddings.position_embedding.weight", new long[] { })]
    [InlineData("vision_model.embeddings.position_embedding.weight", new long[] { 0 })]
    [InlineData("vision_model.embeddings.position_embedding.weight", new long[] { 9_000_000_000_000_000_000, 0 })]
    [InlineData("vision_model.embeddings.patch_embedding.weight", new long[] { 0, 3, 14, 14 })]
    [InlineData("vision_model.embeddings.patch_embedding.weight", new long[] { 64 })]
    [InlineData("vision_model.encoder.layers.0.mlp.fc1.weight", new long[] { })]
    public void ATowerWhoseSizesMakeNoSenseIsRefused(string tensor, long[] shape)
    {
        using var folder = new TemporaryFolder();
        CheckpointBuilder.FromGolden(Golden).Reshape($"model.vision_tower.vision_tower.{tensor}", shape).Write(folder["model"]);
        CheckpointFiles.Refuses(() => ModelCheckpoint.Open(new ModelLocation(folder["model"])).Dispose(), folder["model"], "--vision-tower");
    }

    [Fact]
    public void ALoraOnAnotherBaseIsRefused()
    {
        using var folder = new TemporaryFolder();
        CheckpointBuilder wide = CheckpointBuilder.FromGolden("cropping-lora-base");
        wide.Reshape("model.layers.1.mlp.gate_proj.weight", 180, 64).Write(folder["wide"]);
        CheckpointBuilder.FromGolden("cropping-lora-base")
            .Rename(name => name.StartsWith("model.layers.2.", StringComparison.Ordinal) ? null : name).Write(folder["shallow"]);
        Directory.CreateDirectory(folder["empty"]);
        Refused(folder["wide"], "model.layers.1.mlp.gate_proj.weight", "[180, 64]", "--model-base");
        Refused(folder["shallow"], "model.layers.2.", "--model-base");
        Refused(folder["empty"], folder["empty"], "no weights");
        Refused(folder["missing"], folder["missing"], "--model-base");

        void Refused(string baseFolder, params string[] parts) => CheckpointFiles.Refuses(
            () => ModelCheckpoint.Open(new ModelLocation(Goldens.Checkpoint("cropping-lora"), baseFolder)).Dispose(), parts);
    }

    [Fact]
    public void AnIncompleteLoraIsRefused()
    {
        using var folder = new TemporaryFolder();
        string lora = folder["cropping-lora"];
        Copy("cropping-lora", lora);
        CheckpointFiles.Refuses(() => Open(null), lora, "cropping-lora-base", "--model-base");
        foreach (string file in Directory.GetFiles(lora, "non_lora_trainables*")) File.Delete(file);
        CheckpointFiles.Refuses(() => Open(Goldens.Checkpoint("cropping-lora-base")), lora, "non_lora_trainables");
        Copy("cropping-lora", lora);
        File.Delete(Path.Combine(lora, "adapter_model.safetensors"));
        CheckpointFiles.Refuses(() => Open(Goldens.Checkpoint("cropping-lora-base")), lora, "adapter_model");

        void Open(string? modelBase) => ModelCheckpoint.Open(new ModelLocation(lora, modelBase, CheckpointBuilder.ClipFolder)).Dispose();
    }

    [Theory]
    [InlineData("num_attention_heads", "0")]
    [InlineData("num_attention_heads", "-4")]
    [InlineData("num_attention_heads", "3")]
    [InlineData("num_key_value_heads", "3")]
    [InlineData("num_key_value_heads", "8")]
    [InlineData("hidden_size", "-64")]
    [InlineData("hidden_size", "2147483647")]
    [InlineData("hidden_size", "99999999999999999999")]
    [InlineData("hidden_size", "64.5")]
    [InlineData("hidden_size", "\"64\"")]
    [InlineData("intermediate_size", "0")]
    [InlineData("num_hidden_layers", "1000000000")]
    [InlineData("vocab_size", "[512]")]
    [InlineData("rms_norm_eps", "0")]
    [InlineData("rms_norm_eps", "1e999")]
    [InlineData("rope_theta", "-1")]
    [InlineData("rope_scaling", "7")]
    [InlineData("rope_scaling", """{"type":"yarn","factor":2}""")]
    [InlineData("rope_scaling", """{"type":"linear","factor":1e300}""")]
    [InlineData("max_position_embeddings", "0")]
    [InlineData("hidden_act", "\"relu\"")]
    [InlineData("image_aspect_ratio", "\"round\"")]
    [InlineData("image_aspect_ratio", "\"anyres\"")]
    [InlineData("mm_vision_select_layer", "9")]
    [InlineData("mm_vision_select_layer", "-2147483648")]
    [InlineData("mm_vision_select_feature", "\"cls_patch\"")]
    [InlineData("mm_projector_type", "\"mlp99x_gelu\"")]
    [InlineData("mm_projector_type", "[]")]
    [InlineData("mm_vision_tower", "{}")]
    [InlineData("mm_vision_tower", "\"\\ud800\"")]
    [InlineData("anything", "{\"\\udc00\": 1}")]
    [InlineData("model_type", "\"llava_mpt\"")]
    [InlineData("quantization_config", """{"quant_method":"awq","group_size":128}""")]
    [InlineData("quantization_config", """{"quant_method":"llava-sp","group_size":3}""")]
    [InlineData("quantization_config", """{"quant_method":"llava-sp"}""")]
    [InlineData("vision_config", """{"num_attention_heads":0}""")]
    [InlineData("vision_config", """{"patch_size":500,"image_size":336}""")]
    [InlineData("vision_config", "[1]")]
    [InlineData("text_config", "3")]
    [InlineData("eos_token_id", "{}")]
    public void AHostileConfigValueIsNamed(string field, string value)
    {
        using var folder = new TemporaryFolder();
        AddTowerConfig(folder);
        CheckpointBuilder.FromGolden(Golden).Write(folder["model"], sideFiles: false);
        string config = File.ReadAllText(Path.Combine(Goldens.Checkpoint(Golden), "config.json")).TrimEnd();
        // The last of two fields of one name counts.
        folder.Write("model/config.json", $"{config[..^1]}, \"{field}\": {value} }}");
        CheckpointException refusal = CheckpointFiles.Refuses(() => Load(folder["model"]), "config.json");
        if (field is not ("anything" or "vision_config" or "text_config" or "model_type" or "quantization_config" or "rope_scaling" or "image_aspect_ratio")
            && !value.Contains("ud800", StringComparison.Ordinal))
            Assert.Contains(field is "num_key_value_heads" or "num_attention_heads" ? "heads" : field, refusal.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("{\"a\": ")]
    [InlineData("{} {}")]
    [InlineData("\0\0\0\0")]
    [InlineData("nested")]
    [InlineData("utf16")]
    public void AConfigThatIsNoJsonObjectIsRefused(string text)
    {
        using var folder = new TemporaryFolder();
        CheckpointBuilder.FromGolden(Golden).Write(folder["model"]);
        folder.Write("model/config.json", text switch
        {
            "nested" => Encoding.UTF8.GetBytes($"{{\"a\": {new string('[', 10_000)}{new string(']', 10_000)}}}"),
            "utf16" => Encoding.Unicode.GetBytes("{}"),
            _ => Encoding.UTF8.GetBytes(text),
        });
        CheckpointFiles.Refuses(() => Load(folder["model"]), "config.json");
    }

    [Fact]
    public void ANameThatWouldBreakTheLineIsEscaped()
    {
        using var folder = new TemporaryFolder();
        AddTowerConfig(folder);
        const string Tensor = "model.vision_tower.vision_tower.vision_model.pre_layrnorm.bias";
        CheckpointBuilder.FromGolden(Golden).Reshape(Tensor, 31).Rename(name => name == Tensor ? $"first\nsecond\u001b[31m{name}" : name).Write(folder["model"]);
        CheckpointFiles.Refuses(() => Load(folder["model"]), "first\\u000asecond\\u001b");
    }

    [Fact]
    public void IntegersWithoutTheirConfigOrScalesAreRefused()
    {
        using var folder = new TemporaryFolder();
        using (ModelCheckpoint checkpoint = ModelCheckpoint.Open(new ModelLocation(Goldens.Checkpoint(Golden))))
        {
            CheckpointConverter.Convert(
                checkpoint, folder["model"], new ConversionOptions { Weights = WeightFormat.Int4() }, TestContext.Current.CancellationToken);
        }

        string config = File.ReadAllText(folder["model/config.json"]);
        JsonObject bare = JsonNode.Parse(config)!.AsObject();
        bare.Remove("quantization_config");
        folder.Write("model/config.json", bare.ToJsonString());
        CheckpointFiles.Refuses(() => Load(folder["model"]), folder["model"], "integers", "quantization_config");

        folder.Write("model/config.json", config.Replace("\"group_size\": 64", "\"group_size\": 32", StringComparison.Ordinal));
        CheckpointFiles.Refuses(() => Load(folder["model"]), folder["model"], "_scale", "config.json asks for");
    }

    /// <summary>Whatever stands in a field: the model loads, or one line says why not.</summary>
    [Fact]
    public void RandomConfigsNeverBreakAnything()
    {
        using var folder = new TemporaryFolder();
        CheckpointBuilder builder = CheckpointBuilder.FromGolden(Golden);
        builder.Config["vision_config"] = JsonNode.Parse(File.ReadAllText(Path.Combine(CheckpointBuilder.ClipFolder, "config.json")))!["vision_config"]!.DeepClone();
        string original = builder.Config.ToJsonString();
        builder.Write(folder["model"], sideFiles: false);
        string[] words = ["null", "true", "false", "\"\"", "\"anyres\"", "\"linear\"", "[]", "{}", "[[336,672]]", "[[0,1]]", "{\"type\":\"dynamic\",\"factor\":2}"];
        Gen<string> value = Gen.OneOf(
            Gen.Int[-3, 70].Select(i => $"{i}"), Gen.Int.Select(i => $"{i}"), Gen.Double.Select(d => double.IsFinite(d) ? $"{d:r}" : "1e400"),
            Gen.Int[0, words.Length - 1].Select(i => words[i]));
        Gen.Select(Gen.Int[0, 99], Gen.Bool, value).Sample(
            (index, inVision, text) =>
            {
                JsonObject config = JsonNode.Parse(original)!.AsObject();
                JsonObject target = inVision ? config["vision_config"]!.AsObject() : config;
                string field = target.Select(pair => pair.Key).ElementAt(index % target.Count);
                target[field] = JsonNode.Parse(text);
                folder.Write("model/config.json", config.ToJsonString());
                try
                {
                    Load(folder["model"]);
                }
                catch (LlavaSpException refusal)
                {
                    Assert.DoesNotContain(refusal.Message, char.IsControl);
                }
            },
            iter: 300, threads: 1);
    }

    private static void Load(string folder)
    {
        using ModelCheckpoint checkpoint = ModelCheckpoint.Open(new ModelLocation(folder));
        LlavaSpModel.Load(checkpoint, null, new LoadOptions { Device = new DeviceOptions("reference") }, 0).Dispose();
    }

    /// <summary>Puts the config of the vision tower where config.json's name for it leads; the weights inside the checkpoint stay the ones that count.</summary>
    private static void AddTowerConfig(TemporaryFolder folder)
    {
        string tower = folder["openai/clip-vit-tiny-patch14-336"];
        Directory.CreateDirectory(tower);
        File.Copy(Path.Combine(CheckpointBuilder.ClipFolder, "config.json"), Path.Combine(tower, "config.json"));
    }

    private static void Convert(string folder, string output)
    {
        using ModelCheckpoint checkpoint = ModelCheckpoint.Open(new ModelLocation(folder));
        CheckpointConverter.Convert(checkpoint, output, cancellationToken: TestContext.Current.CancellationToken);
    }

    private static void Copy(string golden, string folder)
    {
        Directory.CreateDirectory(folder);
        foreach (string file in Directory.GetFiles(Goldens.Checkpoint(golden))) File.Copy(file, Path.Combine(folder, Path.GetFileName(file)), overwrite: true);
    }
}
