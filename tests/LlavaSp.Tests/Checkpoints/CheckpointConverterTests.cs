using System.Text.Json.Nodes;
using LlavaSp.Checkpoints;
using LlavaSp.Quantization;

namespace LlavaSp.Tests.Checkpoints;

/// <summary>Merged folders: the same model as the original, under upstream's names, alone.</summary>
public sealed class CheckpointConverterTests
{
    public static TheoryData<string, string?> Cases => new()
    {
        { "pooling-f32", null },
        { "cropping-f32", null },
        { "pooling-gqa-sharded-f32-anyres", null },
        { "cropping-gqa-f16-anyres", null },
        { "pooling-bf16", null },
        { "cropping-lora", null },
        { "cropping-lora", "f32" },
        { "pooling-bf16", "f32" },
        { "pooling-f32", "f16" },
        { "cropping-f32", "bf16" },
        { "pooling-f32", "int8" },
        { "cropping-f32", "int4:32" },
        { "cropping-lora", "int8:128" },
        { "cropping-lora", "int4" },
        { "pooling-bf16", "int4" },
        { "cropping-gqa-f16-anyres", "int4:128" },
        { "pooling-gqa-sharded-f32-anyres", "int8:32" },
    };

    /// <summary>Converting and then loading gives bit for bit what loading the original in that format gives.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void TheMergedFolderIsTheSameModel(string golden, string? weights)
    {
        using var folder = new TemporaryFolder();
        WeightFormat? format = weights is null ? null : WeightFormat.Parse(weights);
        ConversionResult result = Convert(Goldens.Checkpoint(golden), folder["out"], format);
        using ModelCheckpoint merged = ModelCheckpoint.Open(new ModelLocation(folder["out"]));
        Assert.Equal(result.Weights, merged.StoredFormat);
        Assert.Null(merged.Location.VisionTower);
        Assert.True(File.Exists(Path.Combine(merged.TokenizerFolder, "tokenizer.model")));
        Assert.NotNull(merged.PreprocessorConfigPath);
        ReferenceTrace.AssertEqual(ReferenceTrace.Of(Goldens.Checkpoint(golden), format), ReferenceTrace.Of(merged));
        Assert.All(merged.Catalog.Unused, name => Assert.True(
            name.Contains("post_layernorm", StringComparison.Ordinal) || name.StartsWith("vision_model.encoder.layers.3.", StringComparison.Ordinal), name));
    }

    [Fact]
    public void NamesTypesAndConfigAreUpstreams()
    {
        using var folder = new TemporaryFolder();
        Convert(Goldens.Checkpoint("cropping-lora"), folder["out"], null);
        using SafetensorsFile merged = SafetensorsFile.Open(folder["out/model.safetensors"]), published = SafetensorsFile.Open(
            Path.Combine(Goldens.Checkpoint("cropping-f32"), "model.safetensors"));
        Assert.Equal(published.Tensors.Keys.Order(StringComparer.Ordinal), merged.Tensors.Keys.Order(StringComparer.Ordinal));
        foreach (TensorInfo info in merged.Tensors.Values) Assert.Equal(published.Tensors[info.Name].Shape, info.Shape);
        Assert.Equal(DType.F16, merged.Tensors["model.conv_8.weight"].DType);
        Assert.Equal(DType.BF16, merged.Tensors["model.mm_projector.0.bias"].DType);
        Assert.Equal("pt", merged.Metadata["format"]);

        JsonObject config = Json(folder["out/config.json"]), original = Json(Path.Combine(Goldens.Checkpoint("cropping-lora"), "config.json"));
        foreach ((string field, JsonNode? value) in original)
        {
            if (field != "torch_dtype") Assert.True(JsonNode.DeepEquals(value, config[field]), field);
        }

        Assert.Equal("float16", (string?)config["torch_dtype"]);
        Assert.Equal(4, (int?)config["vision_config"]!["num_attention_heads"]);
        Assert.Null(config["quantization_config"]);
        Assert.False(File.Exists(folder["out/adapter_config.json"]));
    }

    [Fact]
    public void QuantizedTensorsLieAsDocumented()
    {
        using var folder = new TemporaryFolder();
        Convert(Goldens.Checkpoint("cropping-f32"), folder["out"], WeightFormat.Int4(32));
        using SafetensorsFile file = SafetensorsFile.Open(folder["out/model.safetensors"]);
        Assert.Equal((DType.U8, "[64, 88]"), Stored("model.layers.0.mlp.down_proj.weight"));
        Assert.Equal((DType.F16, "[64, 6]"), Stored("model.layers.0.mlp.down_proj.weight_scale"));
        Assert.Equal((DType.I8, "[512, 64]"), Stored("lm_head.weight"));
        Assert.Equal((DType.F16, "[512, 64]"), Stored("model.embed_tokens.weight"));
        Assert.Equal((DType.I8, "[64, 32]"), Stored("model.mm_projector.0.weight"));
        Assert.Equal((DType.U8, "[16, 4096]"), Stored("model.conv_CM.weight"));
        Assert.Equal((DType.F16, "[16, 256]"), Stored("model.conv_CM.weight_scale"));
        Assert.Equal((DType.F32, "[64]"), Stored("model.norm.weight"));
        Assert.Equal((DType.F32, "[577, 32]"), Stored("model.vision_tower.vision_tower.vision_model.embeddings.position_embedding.weight"));
        Assert.Equal((DType.F16, "[32, 3, 14, 14]"), Stored("model.vision_tower.vision_tower.vision_model.embeddings.patch_embedding.weight"));
        JsonNode quantization = Json(folder["out/config.json"])["quantization_config"]!;
        Assert.Equal("""{"quant_method":"llava-sp","weights":"int4","group_size":32}""", quantization.ToJsonString());

        (DType, string) Stored(string name) => (file.Tensors[name].DType, file.Tensors[name].ShapeText);
    }

    [Theory]
    [InlineData("int8:64")]
    [InlineData("int4:32")]
    public void AQuantizedCheckpointPassesThrough(string weights)
    {
        using var folder = new TemporaryFolder();
        WeightFormat format = WeightFormat.Parse(weights);
        Convert(Goldens.Checkpoint("cropping-f32"), folder["first"], format);
        Convert(folder["first"], folder["again"], format);
        Convert(folder["first"], folder["own"], null);
        byte[] first = File.ReadAllBytes(folder["first/model.safetensors"]);
        Assert.Equal(first, File.ReadAllBytes(folder["again/model.safetensors"]));
        Assert.Equal(first, File.ReadAllBytes(folder["own/model.safetensors"]));
        Assert.Equal(File.ReadAllText(folder["first/config.json"]), File.ReadAllText(folder["again/config.json"]));

        WeightFormat other = weights == "int8:64" ? WeightFormat.Int4() : WeightFormat.Int4(64);
        CheckpointFiles.Refuses(() => Convert(folder["first"], folder["other"], other), folder["first"], weights, "original checkpoint");
        Assert.False(Directory.Exists(folder["other"]));

        // As floats it holds what its integers mean, convolutions back in their published order.
        Convert(folder["first"], folder["floats"], WeightFormat.F32);
        ReferenceTrace.AssertEqual(ReferenceTrace.Of(folder["first"]), ReferenceTrace.Of(folder["floats"]));
        using SafetensorsFile floats = SafetensorsFile.Open(folder["floats/model.safetensors"]);
        Assert.Equal([16, 32, 8, 8], floats.Tensors["model.conv_8.weight"].Shape);
        Assert.Null(Json(folder["floats/config.json"])["quantization_config"]);
    }

    [Fact]
    public void TiedEmbeddingsBecomeTableAndOutputMatrixWhenQuantized()
    {
        using var folder = new TemporaryFolder();
        CheckpointBuilder tied = CheckpointBuilder.FromGolden("pooling-f32").Rename(name => name == "lm_head.weight" ? null : name);
        tied.Config["tie_word_embeddings"] = true;
        string original = tied.Write(folder["tied"]);
        foreach ((string name, WeightFormat? format, bool split) in ((string, WeightFormat?, bool)[])[("own", null, false), ("int8", WeightFormat.Int8(), true)])
        {
            using ModelCheckpoint checkpoint = ModelCheckpoint.Open(new ModelLocation(original, null, CheckpointBuilder.ClipFolder));
            CheckpointConverter.Convert(checkpoint, folder[name], new ConversionOptions { Weights = format }, TestContext.Current.CancellationToken);
            Assert.Equal(!split, (bool?)Json(folder[$"{name}/config.json"])["tie_word_embeddings"]);
            ReferenceTrace.AssertEqual(ReferenceTrace.Of(original, format, CheckpointBuilder.ClipFolder), ReferenceTrace.Of(folder[name]));
        }
    }

    [Theory]
    [InlineData("pooling-f32")]
    [InlineData("pooling-gqa-sharded-f32-anyres")]
    public void TransformersFormIsTranslated(string golden)
    {
        using var folder = new TemporaryFolder();
        string source = CheckpointBuilder.FromGolden(golden).WithoutSpatialTokens().WithTransformersConfig()
            .Rename(CheckpointBuilder.NewTransformersName).Write(folder["transformers"]);
        foreach ((string name, WeightFormat? format) in ((string, WeightFormat?)[])[("own", null), ("int4", WeightFormat.Int4())])
        {
            Convert(source, folder[name], format);
            ReferenceTrace.AssertEqual(ReferenceTrace.Of(source, format), ReferenceTrace.Of(folder[name]));
            JsonObject config = Json(folder[$"{name}/config.json"]);
            Assert.False(config.ContainsKey("text_config"));
            Assert.Equal("llava_llama", (string?)config["model_type"]);
            using ModelCheckpoint before = ModelCheckpoint.Open(new ModelLocation(source)), after = ModelCheckpoint.Open(new ModelLocation(folder[name]));
            Assert.Equal(before.Decoder, after.Decoder);
            Assert.Equal(before.Vision, after.Vision);
            Assert.Equal(before.Multimodal.GridPinpoints, after.Multimodal.GridPinpoints);
            Assert.Equal(before.Multimodal with { GridPinpoints = [] }, after.Multimodal with { GridPinpoints = [] });
            Assert.Equal(before.EndIds, after.EndIds);
        }
    }

    [Theory]
    [InlineData(null)]
    [InlineData("int4")]
    public void LargeCheckpointsBecomeSeveralFiles(string? weights)
    {
        using var folder = new TemporaryFolder();
        WeightFormat? format = weights is null ? null : WeightFormat.Parse(weights);
        using ModelCheckpoint source = ModelCheckpoint.Open(new ModelLocation(Goldens.Checkpoint("cropping-f32")));
        var reports = new List<LoadProgress>();
        ConversionResult result = CheckpointConverter.Convert(
            source, folder["out"], new ConversionOptions { Weights = format, MaxShardBytes = 300_000, Progress = new Listener(reports.Add) },
            TestContext.Current.CancellationToken);
        Assert.True(result.Files > 2);
        Assert.Equal(result.Files, Directory.GetFiles(folder["out"], "model-*.safetensors").Length);
        Assert.Equal(result.Bytes, (long?)Json(folder["out/model.safetensors.index.json"])["metadata"]!["total_size"]);
        foreach (string path in Directory.GetFiles(folder["out"], "model-*.safetensors"))
        {
            using SafetensorsFile file = SafetensorsFile.Open(path);
            long bytes = file.Tensors.Values.Sum(info => info.ByteLength);
            Assert.True(bytes <= 300_000 || file.Tensors.Values.Count(info => !info.Name.EndsWith("_scale", StringComparison.Ordinal)) == 1, path);
        }

        ReferenceTrace.AssertEqual(ReferenceTrace.Of(Goldens.Checkpoint("cropping-f32"), format), ReferenceTrace.Of(folder["out"]));
        Assert.Equal(1, reports[^1].Fraction);
        Assert.Equal(reports.Select(report => report.Fraction).Order(), reports.Select(report => report.Fraction));
        Assert.Contains("spatial tokens", reports.Select(report => report.Stage));
    }

    private static ConversionResult Convert(string source, string output, WeightFormat? format)
    {
        using ModelCheckpoint checkpoint = ModelCheckpoint.Open(new ModelLocation(source));
        return CheckpointConverter.Convert(checkpoint, output, new ConversionOptions { Weights = format }, TestContext.Current.CancellationToken);
    }

    private static JsonObject Json(string path) => JsonNode.Parse(File.ReadAllText(path))!.AsObject();

    private sealed class Listener(Action<LoadProgress> report) : IProgress<LoadProgress>
    {
        public void Report(LoadProgress value) => report(value);
    }
}
