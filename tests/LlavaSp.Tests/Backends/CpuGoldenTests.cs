using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Generation;
using LlavaSp.Imaging;
using LlavaSp.Quantization;
using LlavaSp.Tests.Graph;

namespace LlavaSp.Tests.Backends;

/// <summary>The CPU backend, with every instruction set and weight format, against what the authors' own code computes.</summary>
public sealed class CpuGoldenTests
{
    public static TheoryData<string, string, string> Cases()
    {
        var cases = new TheoryData<string, string, string>();
        foreach (string isa in CpuTesting.InstructionSets().Select(row => row.Data))
        {
            foreach (string folder in Directory.GetDirectories(Path.Combine(Goldens.Root, "goldens")).Order(StringComparer.Ordinal))
            {
                string checkpoint = Path.GetFileName(folder);
                foreach (string prompt in GoldenComparison.Prompts(checkpoint)) cases.Add(isa, checkpoint, prompt);
            }
        }

        return cases;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void AgreesInFloat32(string isa, string checkpoint, string prompt) =>
        Compare(isa, checkpoint, prompt, WeightFormat.F32, KvFormat.F32, int8: false, GoldenBounds.Float32);

    private static void Compare(
        string isa, string checkpoint, string prompt, WeightFormat weights, KvFormat kv, bool int8, GoldenBounds bounds)
    {
        CpuTesting.SkipWithoutLibrary();
        using LlavaSpModel model = LlavaSpModel.Load(
            Goldens.Checkpoint(checkpoint),
            new LoadOptions { Device = new DeviceOptions($"cpu:{isa}", 2, int8), AllHiddenStates = true, KvFormat = kv, Weights = weights });
        PreparedImage[] images = [.. GoldenComparison.Images(checkpoint, prompt).Select(letter => model.Prepare(ImageDecoder.Decode(Goldens.Image(letter))))];
        var trace = new TraceFile();
        ModelTracer.Run(model, GoldenComparison.Ids(checkpoint, prompt), images, GoldenComparison.Steps(checkpoint, prompt), trace);
        string path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.safetensors");
        try
        {
            trace.Save(path);
            using SafetensorsFile traced = SafetensorsFile.Open(path);
            int compared = GoldenComparison.Check(checkpoint, prompt, traced, bounds);
            Assert.True(compared >= 2, $"only {compared} tensors were compared");
        }
        finally
        {
            File.Delete(path);
        }
    }
}
