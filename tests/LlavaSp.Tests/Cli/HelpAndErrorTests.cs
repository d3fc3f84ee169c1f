namespace LlavaSp.Tests.Cli;

/// <summary>Help, and the one line that every wrong input gets.</summary>
public sealed class HelpAndErrorTests
{
    private static readonly string Never = Path.Combine(Path.GetTempPath(), "llava-sp-never-written");
    private static readonly string Model = Goldens.Checkpoint("pooling-f32");

    [Theory]
    [InlineData("", "describe")]
    [InlineData("demo", "--device")]
    [InlineData("describe", "--prompt")]
    [InlineData("chat", "--image")]
    [InlineData("inspect", "--tensors")]
    [InlineData("trace", "--prompt-ids")]
    public void HelpNamesTheOptions(string command, string expected)
    {
        CliResult result = CliTool.Run(command.Length == 0 ? ["--help"] : [command, "--help"]);
        Assert.Equal(0, result.ExitCode);
        Assert.Equal("", result.Error);
        Assert.Contains(expected, result.Output, StringComparison.Ordinal);
    }

    public static TheoryData<string, string[]> Refusals() => new()
    {
        { "there is no command 'paint'", ["paint"] },
        { "--out", ["trace", "--model", Model] },
        { "IMAGE", ["describe"] },
        { "--nonsense", ["describe", CliTool.Shapes, "--nonsense"] },
        { "no such folder", ["describe", CliTool.Shapes, "--model", "/no/such/model", "--device", "reference"] },
        { "no config.json", ["describe", CliTool.Shapes, "--model", CliTool.Samples, "--device", "reference"] },
        { "no such file", ["describe", "/no/such/picture.png"] },
        { "supported are", ["describe", Path.Combine(CliTool.Samples, "README.md")] },
        { "2 <image> placeholder(s) for 1 picture(s)", ["describe", CliTool.Shapes, "--prompt", "<image> and <image>"] },
        { "1 <image> placeholder(s) for 2 picture(s)", ["describe", CliTool.Shapes, CliTool.Shapes, "--prompt", "<image>?"] },
        { "unknown device 'gpu'", ["describe", CliTool.Shapes, "--model", Model, "--device", "gpu"] },
        { "unknown device 'reference:avx2'", ["describe", CliTool.Shapes, "--model", Model, "--device", "reference:avx2"] },
        { "no conversation template \"klingon\"", ["describe", CliTool.Shapes, "--template", "klingon"] },
        { "unknown weight format 'int3'", ["describe", CliTool.Shapes, "--weights", "int3"] },
        { "4 bits cost too much accuracy", ["describe", CliTool.Shapes, "--model", Model, "--vision-weights", "int4", "--device", "reference"] },
        { "unknown group size 48", ["describe", CliTool.Shapes, "--weights", "int4:48"] },
        { "--kv int4: choose one of f16, f32, int8", ["describe", CliTool.Shapes, "--kv", "int4"] },
        { "cpu has no key-value cache of int8: leave --kv out, or use --device cuda", ["describe", CliTool.Shapes, "--model", Model, "--kv", "int8", "--device", "cpu"] },
        { "--activations f16: choose one of f32, int8", ["describe", CliTool.Shapes, "--activations", "f16"] },
        { "--exif maybe: choose one of on, off", ["describe", CliTool.Shapes, "--exif", "maybe"] },
        { "--max-new-tokens 0", ["describe", CliTool.Shapes, "--max-new-tokens", "0"] },
        { "--threads", ["describe", CliTool.Shapes, "--threads", "many"] },
        { "temperature", ["describe", CliTool.Shapes, "--temperature", "NaN"] },
        { "top-k", ["describe", CliTool.Shapes, "--top-k=-1"] },
        { "--logprobs", ["describe", CliTool.Shapes, "--logprobs", "2"] },
        { "--stop", ["describe", CliTool.Shapes, "--stop", ""] },
        { "no such file", ["chat", "--image", "/no/such/picture.png"] },
        { "no such folder", ["inspect", "/no/such/model"] },
        { "either --prompt-ids or --prompt", ["trace", "--model", Model, "--out", Never] },
        { "either --prompt-ids or --prompt", ["trace", "--model", Model, "--out", Never, "--prompt", "a", "--prompt-ids", "1"] },
        { "'x' is not a token id", ["trace", "--model", Model, "--out", Never, "--prompt-ids", "1,x"] },
        { "outside the vocabulary", ["trace", "--model", Model, "--out", Never, "--prompt-ids", "1,99999", "--device", "reference"] },
        { "1 <image> placeholder(s) for 0 picture(s)", ["trace", "--model", Model, "--out", Never, "--prompt-ids", "1,-200", "--device", "reference"] },
        { "--steps -1", ["trace", "--model", Model, "--out", Never, "--prompt-ids", "1", "--steps", "-1"] },
        { "no tensor matches", ["trace", "--model", Model, "--out", Never, "--prompt-ids", "1,5", "--only", "x*", "--device", "reference"] },
        { "--device cpu: kernels run on cuda, cuda:N or cuda-emulator", ["bench", "kernels", "--device", "cpu"] },
        { "no kernel has it", ["bench", "kernels", "--device", "cuda-emulator", "--filter", "no such kernel"] },
        { "--sms 0", ["bench", "kernels", "--device", "cuda-emulator", "--sms", "0"] },
        { "cannot be written", ["bench", "kernels", "--device", "cuda-emulator", "--markdown", "/no/such/folder/kernels.md"] },
        { "try llava-sp bench kernels --help", ["bench", "kernels", "--nonsense"] },
        { "cannot be written", ["trace", "--model", Model, "--out", "/no/such/folder/t", "--prompt-ids", "1,5", "--device", "reference"] },
    };

    [Theory]
    [MemberData(nameof(Refusals))]
    public void WrongInputGetsOneLine(string message, string[] arguments)
    {
        CliTool.Run(arguments).IsRefusal(message);
        Assert.False(File.Exists(Never));
    }

    [Fact]
    public void PromptLongerThanTheContextIsRefused() => CliTool.Run(
        "describe", CliTool.Shapes, "--model", Model, "--device", "reference", "--prompt", string.Concat(Enumerable.Repeat("what ", 2000)))
        .IsRefusal("this model has 2048");

    [Fact]
    public void AnswerEndsWhereTheContextIsFull()
    {
        CliResult result = CliTool.Run(
            "describe", CliTool.Shapes, "--model", Model, "--device", "reference", "--max-new-tokens", "1000000", "--json",
            "--prompt", string.Concat(Enumerable.Repeat("a ", 1350)));
        int positions = result.Json.GetProperty("prompt_tokens").GetInt32() + result.Json.GetProperty("token_ids").GetArrayLength();
        Assert.Equal("context", result.Json.GetProperty("finish_reason").GetString());
        // The last token needs no position of its own.
        Assert.Equal(2048 + 1, positions);
    }
}
