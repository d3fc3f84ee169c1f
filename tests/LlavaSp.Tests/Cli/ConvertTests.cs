using System.Text.Json;
using LlavaSp.Checkpoints;
using LlavaSp.Tests.Graph;

namespace LlavaSp.Tests.Cli;

/// <summary><c>convert</c> and <c>quantize</c>, and what describes and traces their results.</summary>
public sealed class ConvertTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("llava-sp-convert-").FullName;

    [Fact]
    public void AMergedLoraAgreesWithTheGoldens()
    {
        string merged = Path.Combine(_folder, "merged"), trace = Path.Combine(_folder, "trace.safetensors");
        JsonElement json = CliTool.Run("convert", Goldens.Checkpoint("cropping-lora"), "--out", merged, "--weights", "f32", "--json").Json;
        Assert.Equal("f32", json.GetProperty("weights").GetString());
        Assert.True(json.GetProperty("peak_memory_bytes").GetInt64() > 0);

        string ids = string.Join(',', GoldenComparison.Ids("cropping-lora", "ids"));
        CliResult result = CliTool.Run(
            "trace", "--model", merged, "--image", Goldens.Image('b'), "--prompt-ids", ids, "--steps", "24", "--out", trace);
        Assert.True(result.ExitCode == 0, result.Error);
        using SafetensorsFile traced = SafetensorsFile.Open(trace);
        Assert.True(GoldenComparison.Check("cropping-lora", "ids", traced, GoldenBounds.Float32) > 4);
    }

    [Theory]
    [InlineData("int8")]
    [InlineData("int4:32")]
    public void AQuantisedCheckpointAnswersAsTheOriginalDoesInThatFormat(string format)
    {
        string small = Path.Combine(_folder, "small");
        Assert.Equal(0, CliTool.Run("quantize", Goldens.Checkpoint("pooling-f32"), "--out", small, "--weights", format).ExitCode);
        string[] question = ["describe", CliTool.Shapes, "--prompt", "What is it?", "--max-new-tokens", "12", "--json"];
        JsonElement stored = CliTool.Run([.. question, "--model", small, "--kv", "f32"]).Json;
        JsonElement loaded = CliTool.Run([.. question, "--model", Goldens.Checkpoint("pooling-f32"), "--weights", format, "--kv", "f32", "--template", stored.GetProperty("template").GetString()!]).Json;
        Assert.Equal(loaded.GetProperty("token_ids").ToString(), stored.GetProperty("token_ids").ToString());
        Assert.Equal(loaded.GetProperty("weights").GetString(), stored.GetProperty("weights").GetString());
    }

    [Fact]
    public void RefusesWhatIsThereAndLeavesItAlone()
    {
        string taken = Path.Combine(_folder, "taken");
        Directory.CreateDirectory(taken);
        File.WriteAllText(Path.Combine(taken, "precious.txt"), "mine");
        CliTool.Run("convert", Goldens.Checkpoint("pooling-f32"), "--out", taken).IsRefusal(taken);
        CliTool.Run("quantize", Goldens.Checkpoint("pooling-f32"), "--out", Path.Combine(_folder, "x"), "--weights", "f16").IsRefusal("quantize writes int8|int4");
        CliTool.Run("convert", Path.Combine(_folder, "nowhere"), "--out", Path.Combine(_folder, "y")).IsRefusal("no such folder");
        Assert.Equal(["precious.txt"], Directory.GetFileSystemEntries(taken).Select(Path.GetFileName));
        Assert.Equal([taken], Directory.GetFileSystemEntries(_folder));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
