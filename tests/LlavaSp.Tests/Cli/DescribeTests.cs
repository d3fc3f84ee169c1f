using System.Diagnostics;
using System.Text.Json;
using LlavaSp.Backends;
using LlavaSp.Generation;
using LlavaSp.Imaging;
using LlavaSp.Tests.Backends;
using LlavaSp.Tests.Backends.Cuda;
using LlavaSp.Tests.Generation;
using LlavaSp.Text;

namespace LlavaSp.Tests.Cli;

/// <summary><c>describe</c> and <c>demo</c>, mostly with the embedded checkpoint.</summary>
public sealed class DescribeTests
{
    private const string Prompt = "What is shown?";

    [Fact]
    public void JsonHasEveryField()
    {
        JsonElement json = CliTool.Run(
            ["describe", CliTool.Shapes, "--prompt", Prompt, "--device", "reference", "--max-new-tokens", "9", "--seed", "7", "--temperature", "0.8",
            "--logprobs", "3", "--template", "llava_v1", "--json", .. CliTool.Talker]).Json;
        Assert.Equal(JsonValueKind.String, json.GetProperty("text").ValueKind);
        Assert.Equal("length", json.GetProperty("finish_reason").GetString());
        Assert.Equal(9, json.GetProperty("token_ids").GetArrayLength());
        Assert.Equal(0, json.GetProperty("reused_tokens").GetInt32());
        Assert.Equal(7, json.GetProperty("seed").GetInt32());
        Assert.Equal("reference", json.GetProperty("device").GetProperty("name").GetString());
        Assert.False(string.IsNullOrEmpty(json.GetProperty("device").GetProperty("instruction_set").GetString()));
        Assert.False(string.IsNullOrEmpty(json.GetProperty("device").GetProperty("reason").GetString()));
        Assert.True(json.GetProperty("device").GetProperty("threads").GetInt32() > 0);
        Assert.Equal("bf16", json.GetProperty("weights").GetString());
        Assert.Equal("f16", json.GetProperty("kv_cache").GetString());
        Assert.Equal("llava_v1", json.GetProperty("template").GetString());
        Assert.Equal("pooling", json.GetProperty("variant").GetString());
        Assert.True(json.GetProperty("weight_bytes").GetInt64() > 1_000_000);
        Assert.True(json.GetProperty("peak_memory_bytes").GetInt64() > 10_000_000);

        JsonElement times = json.GetProperty("milliseconds");
        string[] stages = ["load", "preprocess", "vision", "spatial_tokens", "projector", "prefill", "first_token", "decode", "total"];
        Assert.Equal(stages, times.EnumerateObject().Select(field => field.Name));
        Assert.All(stages, stage => Assert.True(times.GetProperty(stage).GetDouble() > 0, stage));
        Assert.True(times.GetProperty("total").GetDouble() >= times.GetProperty("first_token").GetDouble() + times.GetProperty("load").GetDouble());
        Assert.True(json.GetProperty("tokens_per_second").GetProperty("prefill").GetDouble() > 0);
        Assert.True(json.GetProperty("tokens_per_second").GetProperty("decode").GetDouble() > 0);

        JsonElement[] logprobs = [.. json.GetProperty("logprobs").EnumerateArray()];
        Assert.Equal(json.GetProperty("token_ids").EnumerateArray().Select(id => id.GetInt32()), logprobs.Select(token => token.GetProperty("id").GetInt32()));
        Assert.All(logprobs, token =>
        {
            double[] top = [.. token.GetProperty("top").EnumerateArray().Select(item => item.GetProperty("logprob").GetDouble())];
            Assert.Equal(3, top.Length);
            Assert.Equal(top.OrderDescending(), top);
            Assert.True(token.GetProperty("logprob").GetDouble() <= top[0]);
        });
    }

    [Fact]
    public void AnswersAsTheLibraryDoes()
    {
        string path = Goldens.Checkpoint("pooling-bf16");
        string[] arguments = ["describe", CliTool.Shapes, "--prompt", Prompt, "--device", "reference", "--max-new-tokens", "12", "--template", "vicuna_v1"];
        CliResult given = CliTool.Run([.. arguments, "--model", path, "--json"]);
        CliResult streamed = CliTool.Run([.. arguments, "--model", path]);

        using LlavaSpModel model = LlavaSpModel.Load(path, new LoadOptions { Device = new DeviceOptions("reference") });
        using LlavaSpSession session = model.CreateSession();
        GenerationResult expected = session.Generate(new GenerationRequest
        {
            PromptIds = model.Encode(ConversationTemplate.Get("vicuna_v1").BuildPrompt([$"<image>\n{Prompt}", null])),
            Images = [model.Prepare(ImageDecoder.Decode(CliTool.Shapes))],
            MaxNewTokens = 12,
            StopStrings = ["</s>"],
        }, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(expected.Ids, given.Json.GetProperty("token_ids").EnumerateArray().Select(id => id.GetInt32()));
        Assert.Equal(expected.Text, given.Json.GetProperty("text").GetString());
        Assert.Equal(expected.PromptLength, given.Json.GetProperty("prompt_tokens").GetInt32());
        Assert.False(given.Json.TryGetProperty("embedded", out _));
        Assert.Equal("", given.Error);
        Assert.Equal(expected.Text, streamed.Output.Trim());
    }

    [Fact]
    public void SeveralPicturesStandWherethePromptSays()
    {
        string[] common = ["--device", "reference", "--max-new-tokens", "1", "--json", .. CliTool.Talker];
        string other = Path.Combine(CliTool.Samples, "board.png");
        CliResult two = CliTool.Run(["describe", CliTool.Shapes, other, "--prompt", "<image> or <image>?", .. common]);
        CliResult front = CliTool.Run(["describe", CliTool.Shapes, other, "--prompt", "or?", .. common]);
        Assert.True(two.Json.GetProperty("prompt_tokens").GetInt32() > 2 * 582);
        Assert.True(front.Json.GetProperty("prompt_tokens").GetInt32() > 2 * 582);
    }

    [Fact]
    public void FormatsAreThoseThatWereAskedFor()
    {
        JsonElement json = CliTool.Run(
            "describe", CliTool.Shapes, "--device", "reference", "--max-new-tokens", "1", "--json", "--weights", "int4:32", "--vision-weights", "bf16", "--activations", "f32", "--kv", "f32",
            "--exif", "on", "--threads", "1").Json;
        Assert.Equal("int4:32", json.GetProperty("weights").GetString());
        Assert.Equal("bf16", json.GetProperty("vision_weights").GetString());
        Assert.Equal("f32", json.GetProperty("kv_cache").GetString());
    }

    [Fact]
    public void TheBestDeviceIsTakenAndNamed()
    {
        JsonElement device = CliTool.Run("describe", CliTool.Shapes, "--max-new-tokens", "1", "--json").Json.GetProperty("device");
        Assert.Contains(device.GetProperty("name").GetString(), (string[])["cpu", "reference"]);
        Assert.False(string.IsNullOrEmpty(device.GetProperty("reason").GetString()));
    }

    /// <summary>The same words from the CUDA kernels as from the CPU engine, weights in one format; the emulator's activations are halves.</summary>
    [Theory]
    [InlineData("pooling-f32", "f16")]
    [InlineData("cropping-f32", "f16")]
    [InlineData("pooling-f32", "int8")]
    [InlineData("cropping-f32", "int4")]
    public void TheEmulatorSaysWhatTheCpuSays(string checkpoint, string weights)
    {
        CudaTesting.Create().Dispose();
        CpuTesting.SkipWithoutLibrary();
        JsonElement Describe(string device) => CliTool.Run(
            "describe", CliTool.Shapes, "--prompt", Prompt, "--model", Goldens.Checkpoint(checkpoint), "--vision-tower", TestModels.VisionTower, "--device", device,
            "--weights", weights, "--activations", "f32", "--max-new-tokens", "12", "--template", "vicuna_v1", "--json").Json;
        JsonElement cuda = Describe("cuda-emulator"), cpu = Describe("cpu");
        Assert.Equal("cuda-emulator", cuda.GetProperty("device").GetProperty("name").GetString());
        Assert.Equal("cpu", cpu.GetProperty("device").GetProperty("name").GetString());
        Assert.StartsWith(weights, cuda.GetProperty("weights").GetString(), StringComparison.Ordinal);
        Assert.Equal(12, cpu.GetProperty("token_ids").GetArrayLength());
        Assert.Equal(
            cpu.GetProperty("token_ids").EnumerateArray().Select(id => id.GetInt32()), cuda.GetProperty("token_ids").EnumerateArray().Select(id => id.GetInt32()));
        Assert.Equal(cpu.GetProperty("text").GetString(), cuda.GetProperty("text").GetString());
    }

    [Fact]
    public void VerboseSaysWhatRuns()
    {
        CliResult result = CliTool.Run("describe", CliTool.Shapes, "--device", "reference", "--max-new-tokens", "2", "--verbose");
        Assert.Equal(0, result.ExitCode);
        Assert.Contains("template llava_v1: the model's name", result.Error, StringComparison.Ordinal);
        Assert.Contains("device reference", result.Error, StringComparison.Ordinal);
        Assert.Contains("Spatial tokens", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void DemoIsPlainTextWithoutATerminal()
    {
        CliResult result = CliTool.Run("demo", "--device", "reference", "--max-new-tokens", "4");
        Assert.Equal(0, result.ExitCode);
        Assert.DoesNotContain('\u001b', result.Output);
        Assert.Contains("knows drawn scenes of coloured shapes and nothing else", result.Output, StringComparison.Ordinal);
        Assert.Contains("device: reference", result.Output, StringComparison.Ordinal);
        Assert.Contains("a person would say: ", result.Output, StringComparison.Ordinal);
        string[] expected =
            ["scene-1.png", "scene-2.png", "scene-3.png", "table.jpg", "Preprocess", "Vision", "Spatial tokens", "Projector", "Prefill", "Decode", "First token"];
        Assert.All(expected, word => Assert.Contains(word, result.Output, StringComparison.Ordinal));
    }

    /// <summary>The embedded model was trained for these: every answer is what a person says.</summary>
    [Theory]
    [InlineData("reference", "f32")]
    [InlineData("cpu", "f16")]
    [InlineData("cpu", "int8")]
    public void DemoAnswersAreRight(string device, string weights)
    {
        if (device == "cpu") CpuTesting.SkipWithoutLibrary();
        JsonElement json = CliTool.Run("demo", "--device", device, "--weights", weights, "--json").Json;
        Assert.Contains("drawn scenes", json.GetProperty("embedded").GetString(), StringComparison.Ordinal);
        JsonElement[] answers = [.. json.GetProperty("answers").EnumerateArray()];
        Assert.Equal(9, answers.Length);
        Assert.All(answers, answer => Assert.Equal(answer.GetProperty("expected").GetString(), answer.GetProperty("text").GetString()!.Trim()));
        // Both questions about one picture: the second does not see it again.
        Assert.True(answers[0].GetProperty("milliseconds").GetProperty("vision").GetDouble() > 0);
        Assert.Equal(0, answers[1].GetProperty("milliseconds").GetProperty("vision").GetDouble());
    }

    [Fact]
    public void DamagedCacheIsUnpackedAgain()
    {
        string cache = Directory.CreateTempSubdirectory("llava-sp-cache-").FullName;
        try
        {
            string[] arguments = ["describe", CliTool.Shapes, "--device", "reference", "--max-new-tokens", "2", "--json"];
            string text = CliTool.Run("", arguments, cache).Json.GetProperty("text").GetString()!;
            string weights = Directory.GetFiles(cache, "model.safetensors", SearchOption.AllDirectories).Single(file => file.Contains("-base", StringComparison.Ordinal));
            byte[] good = File.ReadAllBytes(weights), bad = [.. good];
            bad[^1] ^= 1;
            File.WriteAllBytes(weights, bad);
            Assert.Equal(text, CliTool.Run("", arguments, cache).Json.GetProperty("text").GetString());
            Assert.Equal(good, File.ReadAllBytes(weights));
            Assert.Single(Directory.GetDirectories(Path.Combine(cache, "llava-sp")));
        }
        finally
        {
            Directory.Delete(cache, recursive: true);
        }
    }

    [Fact]
    public void CacheThatCannotBeWrittenIsRefused() =>
        CliTool.Run("", ["describe", CliTool.Shapes, "--device", "reference"], CliTool.Shapes).IsRefusal("set XDG_CACHE_HOME");

    [Fact]
    public void ReaderThatLeavesEndsTheAnswer()
    {
        using Process process = LongAnswer();
        Assert.NotEqual(-1, process.StandardOutput.Read());
        process.StandardOutput.Close();
        Assert.Equal(141, CliTool.WaitForExit(process));
        Assert.DoesNotContain("rror", process.StandardError.ReadToEnd(), StringComparison.Ordinal);
    }

    [Fact]
    public void CtrlCEndsTheAnswer()
    {
        if (OperatingSystem.IsWindows()) Assert.Skip("there is no SIGINT to send on Windows");
        using Process process = LongAnswer();
        Assert.NotEqual(-1, process.StandardOutput.Read());
        CliTool.Interrupt(process);
        Assert.Equal(130, CliTool.WaitForExit(process));
        Assert.DoesNotContain("rror", process.StandardError.ReadToEnd(), StringComparison.Ordinal);
    }

    private static Process LongAnswer()
    {
        Process process = CliTool.Start(["describe", CliTool.Shapes, "--device", "reference", "--max-new-tokens", "1300", .. CliTool.Talker]);
        process.StandardInput.Close();
        return process;
    }

    [Fact]
    public void AnOlderGpuTakesF16AndRefusesBF16()
    {
        string[] turing = ["LSP_EMULATOR_CAPABILITY=75"];
        string[] arguments =
        [
            "describe", CliTool.Shapes, "--prompt", Prompt, "--device", "cuda-emulator", "--max-new-tokens", "1", "--model", Goldens.Checkpoint("pooling-bf16"),
            "--vision-tower", TestModels.VisionTower,
        ];
        CliTool.RunWith(turing, [.. arguments, "--weights", "bf16"]).IsRefusal("is sm_75, bf16 needs sm_80 or newer: use --weights f16");
        JsonElement json = CliTool.RunWith(turing, [.. arguments, "--json"]).Json;
        Assert.Equal("f16", json.GetProperty("weights").GetString());
        Assert.Contains("does not hold the checkpoint's bf16", json.GetProperty("weights_reason").GetString(), StringComparison.Ordinal);
    }
}
