using System.Diagnostics;
using System.Text.Json;
using LlavaSp.Tests.Checkpoints;
using LlavaSp.Tests.Cli;

namespace LlavaSp.Tests.Evaluation;

/// <summary><c>eval demo</c> with golden checkpoints in the place of the three models: what is written, not how right it is.</summary>
public sealed class EvalDemoTests : IDisposable
{
    private static readonly string[] Variants = ["none", "pooling", "cropping"];

    private readonly TemporaryFolder _models = new(), _output = new();

    public EvalDemoTests()
    {
        Link("llava-sp-v1-demo-none-lora", "pooling-bf16");
        Link("llava-sp-v1-demo-pooling-lora", "pooling-f32");
        Link("llava-sp-v1-demo-cropping-lora", "cropping-f32");
        Link("openai", "openai");
    }

    public void Dispose()
    {
        _models.Dispose();
        _output.Dispose();
    }

    [Fact]
    public void WritesADocumentWithPlotsAndJson()
    {
        string document = _output["report.md"];
        JsonElement json = Run(
            "--scenes", "2", "--formats", "f32,int4", "--devices", "cpu,reference", "--device-scenes", "1", "--no-latency", "--out", document, "--json").Json;
        Assert.Equal(2, json.GetProperty("scenes").GetInt32());
        Assert.Equal(6, json.GetProperty("runs").GetArrayLength());
        Assert.Equal(2, json.GetProperty("variants_less_none").GetArrayLength());
        Assert.Equal(3, json.GetProperty("formats_less_base").GetArrayLength());
        Assert.Equal(6, json.GetProperty("devices").GetArrayLength());
        Assert.Equal(0, json.GetProperty("first_token").GetArrayLength());
        Assert.Equal(5, json.GetProperty("bars").GetArrayLength());
        Assert.StartsWith("cpu (", json.GetProperty("device").GetString(), StringComparison.Ordinal);
        Assert.All(json.GetProperty("devices").EnumerateArray(), static device =>
        {
            Assert.Equal("reference", device.GetProperty("device").GetString());
            Assert.InRange(device.GetProperty("identical_answers").GetDouble(), device.GetProperty("format").GetString() == "f32" ? 0.9 : 0, 1);
        });

        Assert.Equal(["report-accuracy.svg", "report-formats.svg", "report.md"], Directory.GetFiles(_output.Root).Select(Path.GetFileName).Order());
        string text = File.ReadAllText(document);
        Assert.Contains("--scenes 2 --variants none,pooling,cropping --formats f32,int4:64 --devices cpu,reference --device-scenes 1 --no-latency", text, StringComparison.Ordinal);
        Assert.Contains("](report-accuracy.svg)", text, StringComparison.Ordinal);
        Assert.DoesNotContain(_models.Root, text, StringComparison.Ordinal);
    }

    [Fact]
    public void TimesFirstTokensAndSumsUpOnTheTerminal()
    {
        CliResult result = Run("--scenes", "2", "--formats", "int4", "--latency-shape", "tiny", "--latency-repeat", "2", "--out", _output["e.md"]);
        Assert.Equal((0, ""), (result.ExitCode, result.Error.Replace(NoteAboutNone, "", StringComparison.Ordinal).Trim()));
        foreach (string variant in Variants) Assert.Contains($"\n{variant} ", result.Output, StringComparison.Ordinal);
        Assert.Contains("first token, tiny shape, random weights", result.Output, StringComparison.Ordinal);
        Assert.Contains("not measured", result.Output, StringComparison.Ordinal);
        Assert.Contains("e.md: written", result.Output, StringComparison.Ordinal);
        string text = File.ReadAllText(_output["e.md"]);
        Assert.Contains("**demo size**, weights int4:64 (vision tower and projector int8:64), 2 rounds.", text, StringComparison.Ordinal);
        Assert.Contains("](e-latency.svg)", text, StringComparison.Ordinal);
        Assert.True(File.Exists(_output["e-latency.svg"]));
    }

    [Fact]
    public void AVariantAloneHasNothingToBeComparedWith()
    {
        JsonElement json = Run("--scenes", "1", "--formats", "f16", "--variants", "cropping", "--no-latency", "--json").Json;
        Assert.Equal(1, json.GetProperty("runs").GetArrayLength());
        Assert.Equal(0, json.GetProperty("variants_less_none").GetArrayLength());
        Assert.All(json.GetProperty("bars").EnumerateArray(), static bar => Assert.Equal(JsonValueKind.Null, bar.GetProperty("met").ValueKind));
    }

    [Fact]
    public void WrongInputIsToldBeforeAnyWork()
    {
        Run("--variants", "none,max").IsRefusal("'max' is no variant");
        Run("--variants", "pooling,pooling").IsRefusal("twice");
        Run("--formats", "f32,int3").IsRefusal("unknown weight format 'int3'");
        Run("--devices", "auto").IsRefusal("name the devices");
        Run("--scenes", "0").IsRefusal("--scenes");
        CliTool.Run("eval", "demo", "--models", _models["nowhere"]).IsRefusal("llava-sp-v1-demo-none-lora");
        // The pictures of these models tell of no variant that the name does: a note, then the refusal.
        string[] pooling = ["--variants", "pooling"];
        Run([.. pooling, "--devices", "cpu,gpu"]).IsRefusal("unknown device 'gpu'");
        Run([.. pooling, "--latency-shape", "llava-1.5-7b"]).IsRefusal("llava-1.5-7b has no spatial tokens");
        Run([.. pooling, "--latency-shape", "tiny", "--decoder-layers", "9"]).IsRefusal("tiny has 3 decoder layers");
        Run([.. pooling, "--out", _output["no/such/folder.md"]]).IsRefusal("cannot be written");
        Assert.Empty(Directory.GetFiles(_output.Root));
    }

    [Fact]
    public async Task CtrlCLeavesNothingBehind()
    {
        if (OperatingSystem.IsWindows()) Assert.Skip("there is no SIGINT to send on Windows");
        using Process process = CliTool.Start(Arguments("--scenes", "100000", "--variants", "pooling", "--devices", "reference", "--no-latency", "--out", _output["e.md"]));
        process.StandardInput.Close();
        await Task.Delay(TimeSpan.FromSeconds(3), TestContext.Current.CancellationToken);
        CliTool.Interrupt(process);
        Assert.Equal(130, CliTool.WaitForExit(process));
        Assert.Equal("", await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken));
        Assert.Empty(Directory.GetFiles(_output.Root));
    }

    private string NoteAboutNone =>
        $"llava-sp: {_models["llava-sp-v1-demo-none-lora"]}: its tensors are those of the variant pooling; it is evaluated as none";

    private CliResult Run(params string[] more) => CliTool.Run(Arguments(more));

    private string[] Arguments(params string[] more) => ["eval", "demo", "--models", _models.Root, .. more];

    private void Link(string name, string golden) => Directory.CreateSymbolicLink(_models[name], Path.GetFullPath(Goldens.Checkpoint(golden)));
}
