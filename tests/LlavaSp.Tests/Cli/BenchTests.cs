using System.Text.Json;
using LlavaSp.Tests.Checkpoints;

namespace LlavaSp.Tests.Cli;

/// <summary><c>bench</c> on the tiny shape: what it reports, not how fast it is.</summary>
public sealed class BenchTests
{
    [Theory]
    [InlineData("cropping", "int4", "int8", 5)]
    [InlineData("pooling", "f32", "float32", 5)]
    [InlineData("none", "int8:32", "int8", 4)]
    public void ReportsEveryStage(string variant, string weights, string peak, int stages)
    {
        JsonElement json = CliTool.Run(
            "bench", "--shape", "tiny", "--variant", variant, "--weights", weights, "--decode", "4", "--repeat", "2", "--json").Json;
        Assert.Equal(variant, json.GetProperty("variant").GetString());
        // 20 ids on each side of the picture's rows.
        Assert.Equal(40 + 576 + (variant == "none" ? 0 : 6), json.GetProperty("prompt_tokens").GetInt32());
        Assert.True(json.GetProperty("ceilings").GetProperty("read_gigabytes_per_second").GetDouble() > 0);
        Assert.Equal(stages, json.GetProperty("stages").GetArrayLength());
        Assert.All(json.GetProperty("stages").EnumerateArray(), stage =>
        {
            Assert.InRange(stage.GetProperty("milliseconds").GetDouble(), stage.GetProperty("min").GetDouble(), stage.GetProperty("max").GetDouble());
            Assert.True(stage.GetProperty("bytes").GetDouble() > 0);
            Assert.True(stage.GetProperty("operations").GetDouble() > 0);
            Assert.Equal(peak, stage.GetProperty("peak").GetString());
        });
        Assert.True(json.GetProperty("tokens_per_second").GetProperty("decode").GetDouble() > 0);
        Assert.True(json.GetProperty("tokens_per_second").GetProperty("decode_empty_cache").GetDouble() > 0);
    }

    [Fact]
    public void TheEmulatorHasStagesAndMemoryButNoCeilings()
    {
        CliResult result = CliTool.Run(
            "bench", "--device", "cuda-emulator", "--shape", "tiny", "--weights", "int4", "--decode", "2", "--repeat", "1", "--prompt-tokens", "8", "--json");
        result.SkipWithoutEmulator();
        JsonElement json = result.Json;
        Assert.False(json.TryGetProperty("ceilings", out _));
        Assert.True(json.GetProperty("peak_device_memory_bytes").GetInt64() > json.GetProperty("weight_bytes").GetInt64() / 2);
        string[] stages = ["vision", "spatial tokens", "projector", "prefill", "decode, one token"];
        Assert.Equal(stages, json.GetProperty("stages").EnumerateArray().Select(static stage => stage.GetProperty("stage").GetString()!));
        Assert.All(json.GetProperty("stages").EnumerateArray(), static stage =>
        {
            Assert.True(stage.GetProperty("milliseconds").GetDouble() > 0);
            Assert.Equal(JsonValueKind.Null, stage.GetProperty("share_of_peak").ValueKind);
        });
    }

    [Fact]
    public void LeavesOutDecoderLayers()
    {
        JsonElement Bench(params string[] more) => CliTool.Run(
            ["bench", "--shape", "tiny", "--device", "cpu", "--weights", "f16", "--decode", "1", "--repeat", "1", "--prompt-tokens", "4", "--json", .. more]).Json;
        long one = Bench("--decoder-layers", "1").GetProperty("weight_bytes").GetInt64(), two = Bench("--decoder-layers", "2").GetProperty("weight_bytes").GetInt64();
        long all = Bench().GetProperty("weight_bytes").GetInt64();
        Assert.True(one < two && two < all);
        Assert.Equal(all - two, two - one);
        foreach (string count in (string[])["0", "4"])
            CliTool.Run("bench", "--shape", "tiny", "--decoder-layers", count).IsRefusal("tiny has 3 decoder layers");
        CliTool.Run("bench", "--shape", "tiny", "--decoder-layers", "many").IsRefusal("--decoder-layers");
    }

    [Fact]
    public void TimesACheckpointThatItSaved()
    {
        using var folder = new TemporaryFolder();
        string saved = folder["tiny"];
        JsonElement written = CliTool.Run("bench", "--shape", "tiny", "--variant", "cropping", "--weights", "int4:32", "--save", saved, "--json").Json;
        Assert.Equal("int4:32", written.GetProperty("weights").GetString());
        JsonElement json = CliTool.Run("bench", "--model", saved, "--device", "cpu", "--decode", "2", "--repeat", "1", "--json").Json;
        Assert.Equal("cropping", json.GetProperty("variant").GetString());
        Assert.Equal("int4:32", json.GetProperty("weights").GetString());
        CliTool.Run("bench", "--shape", "tiny", "--save", saved).IsRefusal(saved);
        CliTool.Run("bench", "--shape", "tiny", "--save", folder["other"], "--vision-weights", "f32").IsRefusal("leave out --vision-weights");
        Assert.False(Directory.Exists(folder["other"]));
        CliTool.Run("bench", "--shape", "tiny", "--vision-tower", saved).IsRefusal("give its folder with --model");
        CliTool.Run("bench", "--model", saved, "--shape", "tiny").IsRefusal("--model has its own shape");
        CliTool.Run("bench", "--model", folder["nothing"]).IsRefusal("nothing");
    }

    [Fact]
    public void RefusesUnknownShapes()
    {
        CliTool.Run("bench", "--shape", "gpt-5").IsRefusal("unknown shape 'gpt-5'");
        CliTool.Run("bench", "--shape", "llava-1.5-7b", "--variant", "pooling").IsRefusal("llava-1.5-7b");
        CliTool.Run("bench", "--shape", "tiny", "--repeat", "0").IsRefusal("--repeat");
    }
}
