using System.Text.Json;
using LlavaSp.Backends;
using LlavaSp.Checkpoints;

namespace LlavaSp.Tests.Cli;

/// <summary><c>inspect</c> and the inspection behind it.</summary>
public sealed class InspectTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("llava-sp-inspect-").FullName;

    [Theory]
    [InlineData("pooling-f32", "pooling", "f32", 0)]
    [InlineData("pooling-bf16", "pooling", "bf16", 0)]
    [InlineData("cropping-f32", "cropping", "f32", 0)]
    [InlineData("cropping-gqa-f16-anyres", "cropping", "f16", 0)]
    [InlineData("pooling-gqa-sharded-f32-anyres", "pooling", "f32", 0)]
    [InlineData("cropping-lora", "cropping", "f16", 21)]
    public void KnowsEveryGoldenCheckpoint(string name, string variant, string format, int loraTargets)
    {
        JsonElement json = CliTool.Run("inspect", Goldens.Checkpoint(name), "--tensors", "--json").Json;
        Assert.True(json.GetProperty("complete").GetBoolean());
        Assert.Equal(variant, json.GetProperty("variant").GetString());
        Assert.Equal(format, json.GetProperty("stored_format").GetString());
        Assert.Equal(loraTargets, json.GetProperty("lora_targets").GetArrayLength());
        Assert.Equal(0, json.GetProperty("missing").GetArrayLength());
        Assert.All(json.GetProperty("tensors").EnumerateArray(), tensor => Assert.True(File.Exists(tensor.GetProperty("file").GetString())));
        Assert.Equal(
            json.GetProperty("tensors").GetArrayLength(), json.GetProperty("stages").EnumerateArray().Sum(stage => stage.GetProperty("tensors").GetInt32()));
        // The layer behind the selected hidden state, and the post-norm.
        Assert.Equal(18, json.GetProperty("unused").GetArrayLength());
    }

    [Theory]
    [InlineData("pooling-f32")]
    [InlineData("cropping-f32")]
    [InlineData("cropping-gqa-f16-anyres")]
    [InlineData("cropping-lora")]
    public void ExpectsWhatLoadingReads(string name)
    {
        using LlavaSpModel model = LlavaSpModel.Load(Goldens.Checkpoint(name), new LoadOptions { Device = new DeviceOptions("reference") });
        CheckpointInspection inspection = CheckpointInspection.Open(new ModelLocation(Goldens.Checkpoint(name)));
        Assert.Equal(model.Checkpoint.Catalog.Unused, inspection.Tensors.Where(tensor => !tensor.Used).Select(tensor => tensor.Name));
    }

    [Fact]
    public void TextListsStagesAndTensors()
    {
        CliResult result = CliTool.Run("inspect", Goldens.Checkpoint("pooling-f32"), "--tensors");
        Assert.Equal(0, result.ExitCode);
        string[] expected = ["variant        pooling", "spatial tokens", "conv_24.weight", "model.safetensors", "unused"];
        Assert.All(expected, word => Assert.Contains(word, result.Output, StringComparison.Ordinal));
    }

    [Fact]
    public void EverythingMissingAndMisshapenIsListed()
    {
        Damage("pooling-f32", info => info.Name switch
        {
            "model.layers.0.self_attn.q_proj.weight" or "model.layers.1.mlp.up_proj.weight" or "lm_head.weight" => null,
            _ when info.Name.EndsWith("encoder.layers.0.self_attn.v_proj.bias", StringComparison.Ordinal) => null,
            "model.mm_projector.0.bias" => info with { Shape = [63] },
            "model.layers.2.mlp.down_proj.weight" => info with { Shape = [64, 175] },
            _ => info,
        });
        CliResult result = CliTool.Run("inspect", _folder, "--json");
        Assert.Equal(2, result.ExitCode);
        Assert.Contains("4 tensor(s) missing, 2 other problem(s)", Assert.Single(result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
        using JsonDocument json = JsonDocument.Parse(result.Output);
        Assert.False(json.RootElement.GetProperty("complete").GetBoolean());
        Assert.Equal(
            ["vision_model.encoder.layers.0.self_attn.v_proj.bias [32]", "model.layers.0.self_attn.q_proj.weight [64, 64]", "model.layers.1.mlp.up_proj.weight [176, 64]", "lm_head.weight [512, 64]"],
            json.RootElement.GetProperty("missing").EnumerateArray().Select(item => $"{item.GetProperty("name")} {item.GetProperty("shape")}"));
        string[] problems = [.. json.RootElement.GetProperty("problems").EnumerateArray().Select(problem => problem.GetString()!)];
        Assert.Contains(problems, problem => problem.Contains("mm_projector.0.bias", StringComparison.Ordinal));
        Assert.Contains(problems, problem => problem.Contains("[64, 175]", StringComparison.Ordinal));
    }

    [Fact]
    public void VariantThatIsNoneIsAProblemAmongOthers()
    {
        Damage("cropping-f32", info => info.Name is "model.conv_CM.weight" or "model.norm.weight" ? null : info);
        CheckpointInspection inspection = CheckpointInspection.Open(new ModelLocation(_folder, VisionTower: Goldens.Checkpoint(Path.Combine("openai", "clip-vit-tiny-patch14-336"))));
        Assert.Equal("model.norm.weight", Assert.Single(inspection.Missing).Name);
        Assert.Contains("conv_CM.weight, which is missing", Assert.Single(inspection.Problems), StringComparison.Ordinal);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    /// <summary>A copy of a checkpoint with tensors left out (null) or in other shapes.</summary>
    private void Damage(string name, Func<TensorInfo, TensorInfo?> change)
    {
        string source = Goldens.Checkpoint(name);
        File.Copy(Path.Combine(source, "config.json"), Path.Combine(_folder, "config.json"));
        string clip = Path.Combine(_folder, "openai", "clip-vit-tiny-patch14-336");
        Directory.CreateDirectory(clip);
        File.Copy(Goldens.Checkpoint(Path.Combine("openai", "clip-vit-tiny-patch14-336", "config.json")), Path.Combine(clip, "config.json"));
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(source, "model.safetensors"));
        TensorInfo[] tensors = [.. file.Tensors.Values.Select(change).OfType<TensorInfo>()];
        using SafetensorsWriter writer = SafetensorsWriter.Create(Path.Combine(_folder, "model.safetensors"), tensors);
        foreach (TensorInfo info in tensors)
        {
            writer.Begin(info.Name);
            writer.Write(file.GetBytes(info.Name)[..(int)info.ByteLength]);
        }

        writer.Complete();
    }
}
