using System.Text.Json;
using LlavaSp.Imaging;
using LlavaSp.Tests.Checkpoints;
using LlavaSp.Tests.Cli;

namespace LlavaSp.Tests.Evaluation;

/// <summary><c>eval world</c>, and a run of what it draws.</summary>
public sealed class EvalWorldTests
{
    /// <summary>A drawn benchmark, the embedded model's answers, their score: from end to end, and most are right.</summary>
    [Fact]
    public void WhatIsDrawnIsABenchmark()
    {
        using var folder = new TemporaryFolder();
        string world = folder["world"];
        CliResult drawn = CliTool.Run("eval", "world", "--out", world, "--count", "8");
        Assert.True(drawn.ExitCode == 0, drawn.Error);
        Assert.Equal(8, Directory.GetFiles(Path.Combine(world, "images")).Length);
        CliResult answered = CliTool.Run(
            "eval", "run", "--questions", Path.Combine(world, "questions.jsonl"), "--images", Path.Combine(world, "images"), "--answers", folder["a.jsonl"], "--device", "cpu", "--json");
        Assert.True(answered.Json.GetProperty("answered").GetInt32() > 100);
        JsonElement score = CliTool.Run("eval", "score", "gqa", "--answers", folder["a.jsonl"], "--annotations", Path.Combine(world, "truth.json"), "--json").Json;
        Assert.Equal(answered.Json.GetProperty("answered").GetInt32(), score.GetProperty("questions").GetInt32());
        Assert.True(score.GetProperty("accuracy").GetDouble() > 0.9);
    }

    [Fact]
    public void TheSideIsAsAskedFor()
    {
        using var folder = new TemporaryFolder();
        Assert.Equal(0, CliTool.Run("eval", "world", "--out", folder["w"], "--count", "1", "--first", "3", "--side", "100", "--split", "training").ExitCode);
        RgbImage picture = ImageDecoder.Decode(Path.Combine(folder["w"], "images", "000003.png"));
        Assert.Equal((100, 100), (picture.Width, picture.Height));
    }

    [Theory]
    [InlineData("is there already", "--out", ".")]
    [InlineData("--side 8", "--side", "8")]
    [InlineData("--count 0", "--count", "0")]
    [InlineData("choose one of training, validation, test", "--split", "all")]
    public void WrongInputIsRefused(string message, string option, string value)
    {
        using var folder = new TemporaryFolder();
        string[] output = option == "--out" ? [] : ["--out", folder["w"]];
        CliTool.Run(["eval", "world", .. output, option, value]).IsRefusal(message);
        Assert.Empty(Directory.GetFileSystemEntries(folder.Root));
    }
}
