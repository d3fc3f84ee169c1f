using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Generation;
using LlavaSp.Imaging;

namespace LlavaSp.Tests.Graph;

/// <summary>The reference backend against what the authors' own code computes.</summary>
public sealed class ReferenceGoldenTests
{
    public static TheoryData<string, string> Cases()
    {
        var cases = new TheoryData<string, string>();
        foreach (string folder in Directory.GetDirectories(Path.Combine(Goldens.Root, "goldens")).Order(StringComparer.Ordinal))
        {
            string checkpoint = Path.GetFileName(folder);
            foreach (string prompt in GoldenComparison.Prompts(checkpoint)) cases.Add(checkpoint, prompt);
        }

        return cases;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void AgreesWithTheGoldens(string checkpoint, string prompt)
    {
        using LlavaSpModel model = LlavaSpModel.Load(
            Goldens.Checkpoint(checkpoint),
            new LoadOptions
            {
                Device = new DeviceOptions("reference"),
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
