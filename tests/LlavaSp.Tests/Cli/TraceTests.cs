using System.Text.Json;
using LlavaSp.Checkpoints;
using LlavaSp.Tests.Graph;

namespace LlavaSp.Tests.Cli;

/// <summary><c>trace</c> against the goldens, through the command line.</summary>
public sealed class TraceTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("llava-sp-trace-").FullName;

    [Fact]
    public void IdsAsTheyAreAgreeWithTheGoldens()
    {
        const string Checkpoint = "cropping-lora", Prompt = "two";
        string ids = string.Join(',', GoldenComparison.Ids(Checkpoint, Prompt));
        Check(
            Checkpoint, Prompt,
            [
                "--model-base", Goldens.Checkpoint("cropping-lora-base"), "--vision-tower", Goldens.Checkpoint(Path.Combine("openai", "clip-vit-tiny-patch14-336")),
                "--prompt-ids", ids, "--weights", "f32",
            ]);
    }

    [Fact]
    public void PromptThroughTheTemplateAgreesWithTheGoldens() =>
        Check("pooling-bf16", "vqa", ["--prompt", "What is shown in this picture?", "--template", "vicuna_v1"]);

    [Fact]
    public void OnlyKeepsWhatMatches()
    {
        string output = Path.Combine(_folder, "only.safetensors");
        CliResult result = CliTool.Run(
            "trace", "--model", Goldens.Checkpoint("pooling-f32"), "--device", "reference", "--prompt-ids", "1,-200,5", "--image", Goldens.Image('d'),
            "--only", "a.sp.conv.*", "--out", output, "--json");
        string[] names = [.. result.Json.GetProperty("tensors").EnumerateArray().Select(tensor => tensor.GetProperty("name").GetString()!)];
        Assert.Equal([4, 8, 12, 16, 20, 24], names.Select(name => int.Parse(name["a.sp.conv.".Length..], null)));
        using SafetensorsFile file = SafetensorsFile.Open(output);
        Assert.Equal(names.Order(), file.Tensors.Keys.Order());
    }

    /// <summary>Whether the checkpoint is stored as integers or asked for as such: the cache does not round as well.</summary>
    [Fact]
    public void TheCacheIsFloat32UnlessAskedFor()
    {
        string small = Path.Combine(_folder, "small");
        Assert.Equal(0, CliTool.Run("quantize", Goldens.Checkpoint("pooling-f32"), "--out", small).ExitCode);
        Assert.Equal("f32", Cache("--model", small));
        Assert.Equal("f32", Cache("--model", Goldens.Checkpoint("pooling-f32"), "--weights", "int4"));
        Assert.Equal("f16", Cache("--model", small, "--kv", "f16"));

        string? Cache(params string[] arguments) => CliTool.Run(
            ["trace", .. arguments, "--prompt-ids", "1,2", "--out", Path.Combine(_folder, "cache.safetensors"), "--json"]).Json.GetProperty("kv_cache").GetString();
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private void Check(string checkpoint, string prompt, string[] arguments)
    {
        string output = Path.Combine(_folder, $"{checkpoint}.safetensors");
        IEnumerable<string> images = GoldenComparison.Images(checkpoint, prompt).SelectMany(letter => (string[])["--image", Goldens.Image(letter)]);
        CliResult result = CliTool.Run(
        [
            "trace", "--model", Goldens.Checkpoint(checkpoint), "--device", "reference", .. arguments, .. images,
            "--steps", $"{GoldenComparison.Steps(checkpoint, prompt)}", "--out", output,
        ]);
        Assert.True(result.ExitCode == 0, result.Error);
        using SafetensorsFile trace = SafetensorsFile.Open(output);
        Assert.True(GoldenComparison.Check(checkpoint, prompt, trace, GoldenBounds.Float32) > 10);
        // Beyond what every answer needs: the last layer of the tower.
        Assert.Contains("a.vision.hidden_states.4", trace.Tensors.Keys);
    }
}
