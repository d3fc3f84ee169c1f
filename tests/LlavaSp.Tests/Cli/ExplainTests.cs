using System.Text.Json;
using LlavaSp.Imaging;

namespace LlavaSp.Tests.Cli;

/// <summary><c>explain</c>, through the command line.</summary>
public sealed class ExplainTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("llava-sp-explain-").FullName;

    [Fact]
    public void PictureAndNumbersAreThere()
    {
        string output = Path.Combine(_folder, "shapes.png");
        JsonElement json = Explain("cropping-f32", "--out", output, "--json", CliTool.Shapes).Json;
        RgbImage drawn = ImageDecoder.Decode(output);
        Assert.InRange(drawn.Width, 1000, 2000);
        Assert.InRange(drawn.Height, 400, 4000);
        JsonElement picture = Assert.Single(json.GetProperty("pictures").EnumerateArray());
        Assert.Equal(output, picture.GetProperty("out").GetString());
        Assert.Equal(6, picture.GetProperty("spatial_tokens").GetArrayLength());
        Assert.Equal("cropping", picture.GetProperty("spatial_tokens")[0].GetProperty("variant").GetString());
        Assert.Equal(25, picture.GetProperty("detail_fusion")[0].GetProperty("positions").GetArrayLength());
        Assert.Equal(576, picture.GetProperty("patches").GetArrayLength());
        JsonElement[] words = [.. json.GetProperty("words").EnumerateArray()];
        Assert.NotEmpty(words);
        foreach (JsonElement word in words)
        {
            JsonElement attention = Assert.Single(word.GetProperty("attention").EnumerateArray());
            Assert.Equal("mean", attention.GetProperty("layer").GetString());
            JsonElement seen = attention.GetProperty("pictures")[0];
            double all = attention.GetProperty("text").GetDouble() + Sum(seen.GetProperty("spatial_tokens")) + Sum(seen.GetProperty("patches"));
            // 583 shares, each rounded to 5 digits.
            Assert.InRange(all, 0.99, 1.01);
        }
    }

    [Fact]
    public void LayersAreShownOneByOne()
    {
        JsonElement json = Explain("pooling-f32", "--out", Path.Combine(_folder, "x.png"), "--layers", "all", "--json", CliTool.Shapes).Json;
        Assert.Equal([1, 2, 3], json.GetProperty("words")[0].GetProperty("attention").EnumerateArray().Select(layer => layer.GetProperty("layer").GetInt32()));
        Assert.Empty(json.GetProperty("pictures")[0].GetProperty("detail_fusion").EnumerateArray());
    }

    [Fact]
    public void EachPictureHasItsFile()
    {
        CliResult result = Explain("pooling-f32", "--out", Path.Combine(_folder, "two.png"), CliTool.Shapes, Goldens.Image('d'));
        Assert.True(result.ExitCode == 0, result.Error);
        Assert.Equal(["two-1.png", "two-2.png"], Directory.GetFiles(_folder).Select(Path.GetFileName).Order());
        Assert.Contains("two-2.png", result.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("4", "has 3 decoder layers")]
    [InlineData("some", "'some' is no choice of layers")]
    [InlineData("0", "'0' is no choice of layers")]
    public void LayersThatAreNotThereAreRefused(string layers, string message)
    {
        Explain("pooling-f32", "--out", Path.Combine(_folder, "x.png"), "--layers", layers, CliTool.Shapes).IsRefusal(message);
        Assert.Empty(Directory.GetFiles(_folder));
    }

    [Fact]
    public void AFileThatCannotBeWrittenIsRefusedFirst() =>
        Explain("pooling-f32", "--out", Path.Combine(_folder, "missing", "x.png"), CliTool.Shapes).IsRefusal("cannot be written");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static CliResult Explain(string checkpoint, params string[] arguments) => CliTool.Run(
        ["explain", "--model", Goldens.Checkpoint(checkpoint), "--device", "cpu", "--prompt", "What is it?", "--max-new-tokens", "6", .. arguments]);

    private static double Sum(JsonElement list) => list.EnumerateArray().Sum(value => value.GetDouble());
}
