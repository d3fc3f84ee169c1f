using System.Globalization;
using LlavaSp.Backends;
using LlavaSp.Backends.Cpu;
using LlavaSp.Checkpoints;
using LlavaSp.Generation;
using LlavaSp.Imaging;
using LlavaSp.Quantization;
using LlavaSp.Tests.Cli;

namespace LlavaSp.Tests.Graph;

/// <summary>Every backend and instruction set, in float32, against what the authors' own code computes.</summary>
public sealed class BackendGoldenTests : IDisposable
{
    private readonly string _trace = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.safetensors");

    public static TheoryData<string, string> Prompts()
    {
        var cases = new TheoryData<string, string>();
        foreach (string folder in Directory.GetDirectories(Path.Combine(Goldens.Root, "goldens")).Order(StringComparer.Ordinal))
        {
            string checkpoint = Path.GetFileName(folder);
            foreach (string prompt in GoldenComparison.Prompts(checkpoint)) cases.Add(checkpoint, prompt);
        }

        return cases;
    }

    public static TheoryData<string, string, string> PromptsOnEveryInstructionSet()
    {
        var cases = new TheoryData<string, string, string>();
        foreach (string isa in InstructionSets.OfThisArchitecture)
            foreach ((string checkpoint, string prompt) in Prompts().Select(row => row.Data)) cases.Add(isa, checkpoint, prompt);
        return cases;
    }

    [Theory]
    [MemberData(nameof(Prompts))]
    public void TheReferenceAgreesWithTheGoldens(string checkpoint, string prompt)
    {
        var options = new LoadOptions
        {
            Device = new DeviceOptions("reference"),
            AllHiddenStates = true,
            KvFormat = KvFormat.F32,
            Weights = WeightFormat.F32,
        };
        using LlavaSpModel model = LlavaSpModel.Load(Goldens.Checkpoint(checkpoint), options);
        PreparedImage[] images = [.. GoldenComparison.Images(checkpoint, prompt).Select(letter => model.Prepare(ImageDecoder.Decode(Goldens.Image(letter))))];
        var trace = new TraceFile();
        ModelTracer.Run(model, GoldenComparison.Ids(checkpoint, prompt), images, GoldenComparison.Steps(checkpoint, prompt), trace);
        trace.Save(_trace);
        Check(checkpoint, prompt);
    }

    /// <summary>In a process of its own, as a user would force it.</summary>
    [Theory]
    [MemberData(nameof(PromptsOnEveryInstructionSet))]
    public void TheCpuEngineAgreesWithTheGoldens(string isa, string checkpoint, string prompt)
    {
        if (!CpuBackend.InstructionSets().Contains(isa)) Assert.Skip($"this machine has no {isa}");
        string ids = string.Join(',', GoldenComparison.Ids(checkpoint, prompt));
        string steps = GoldenComparison.Steps(checkpoint, prompt).ToString(CultureInfo.InvariantCulture);
        string[] images = [.. GoldenComparison.Images(checkpoint, prompt).SelectMany(letter => (string[])["--image", Goldens.Image(letter)])];
        CliResult result = CliTool.Run(
            ["trace", "--model", Goldens.Checkpoint(checkpoint), "--device", $"cpu:{isa}", "--weights", "f32", "--prompt-ids", ids, "--steps", steps, "--out", _trace, .. images]);
        Assert.True(result.ExitCode == 0, result.Error);
        Check(checkpoint, prompt);
    }

    public void Dispose() => File.Delete(_trace);

    private void Check(string checkpoint, string prompt)
    {
        using SafetensorsFile traced = SafetensorsFile.Open(_trace);
        int compared = GoldenComparison.Check(checkpoint, prompt, traced, GoldenBounds.Float32);
        Assert.True(compared >= 2, $"only {compared} tensors were compared");
    }
}
