using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Generation;
using LlavaSp.Imaging;

namespace LlavaSp.Tests.Graph;

/// <summary>Every backend and instruction set, in float32, against what the authors' own code computes.</summary>
public sealed class BackendGoldenTests
{
    public static TheoryData<string, string, string> Cases()
    {
        var cases = new TheoryData<string, string, string>();
        foreach (string folder in Directory.GetDirectories(Path.Combine(Goldens.Root, "goldens")).Order(StringComparer.Ordinal))
        {
            string checkpoint = Path.GetFileName(folder);
            foreach (string prompt in GoldenComparison.Prompts(checkpoint))
                foreach (string device in (string[])["reference", "cpu:scalar", "cpu:avx2", "cpu:avx512", "cpu:avx512vnni"]) cases.Add(device, checkpoint, prompt);
        }

        return cases;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void AgreesWithTheGoldens(string device, string checkpoint, string prompt)
    {
        using LlavaSpModel model = LlavaSpModel.Load(
            Goldens.Checkpoint(checkpoint),
            new LoadOptions
            {
                Device = new DeviceOptions(device),
                AllHiddenStates = true,
                KvFormat = KvFormat.F32,
                Weights = Quantization.WeightFormat.F32,
            });
        PreparedImage[] images = [.. GoldenComparison.Images(checkpoint, prompt).Select(letter => model.Prepare(ImageDecoder.Decode(Goldens.Image(letter))))];
        var trace = new TraceFile();
        ModelTracer.Run(model, GoldenComparison.Ids(checkpoint, prompt), images, GoldenComparison.Steps(checkpoint, prompt), trace);
        string path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.safetensors");
        try
        {
            trace.Save(path);
            using SafetensorsFile traced = SafetensorsFile.Open(path);
            int compared = GoldenComparison.Check(checkpoint, prompt, traced, GoldenBounds.Float32);
            Assert.True(compared >= 2, $"only {compared} tensors were compared");
        }
        finally
        {
            File.Delete(path);
        }
    }
}
