using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Generation;
using LlavaSp.Imaging;
using LlavaSp.Quantization;
using LlavaSp.Tests.Graph;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>The CUDA kernels, run by the emulator with half-precision weights and activations, against what the authors' own code computes in float32.</summary>
public sealed class CudaGoldenTests(ITestOutputHelper output)
{
    // Of layers with random weights; logits reach several units.
    private static readonly GoldenBounds Half = new(Features: 2e-2f, Hidden: 0.3f, Logits: 0.2f, ExactIds: false);

    // Twice the largest difference of logits that was seen, 0.146: tokens further apart than this cannot change places.
    private const float BindingMargin = 0.3f;

    public static TheoryData<string, string> Prompts() => BackendGoldenTests.Prompts();

    [Theory]
    [MemberData(nameof(Prompts))]
    public void AgreesInHalfPrecision(string checkpoint, string prompt)
    {
        using LlavaSpModel model = Load(checkpoint);
        PreparedImage[] images = [.. GoldenComparison.Images(checkpoint, prompt).Select(letter => model.Prepare(ImageDecoder.Decode(Goldens.Image(letter))))];
        var trace = new TraceFile();
        ModelTracer.Run(model, GoldenComparison.Ids(checkpoint, prompt), images, GoldenComparison.Steps(checkpoint, prompt), trace);
        using var folder = new Checkpoints.TemporaryFolder();
        trace.Save(folder["trace"]);
        using SafetensorsFile traced = SafetensorsFile.Open(folder["trace"]);
        int compared = GoldenComparison.Check(checkpoint, prompt, traced, Half);
        Assert.True(compared >= 2, $"only {compared} tensors were compared");
        CompareGreedy(checkpoint, prompt, traced);
    }

    private static LlavaSpModel Load(string checkpoint)
    {
        CudaTesting.Create().Dispose();
        return LlavaSpModel.Load(
            Goldens.Checkpoint(checkpoint),
            new LoadOptions { Device = new DeviceOptions(CudaTesting.Device), AllHiddenStates = true, KvFormat = KvFormat.F16, Weights = WeightFormat.F16 });
    }

    /// <summary>Up to the first step at which the two best tokens are closer than the margin, the ids are those of the goldens.</summary>
    private void CompareGreedy(string checkpoint, string prompt, SafetensorsFile traced)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(Goldens.Golden(checkpoint, "prompts.safetensors"));
        if (!golden.Tensors.TryGetValue($"{prompt}.greedy_logits", out TensorInfo? info)) return;
        int[] expected = TensorComparison.Ids(golden, $"{prompt}.greedy_ids"), actual = TensorComparison.Ids(traced, "greedy_ids");
        float[] logits = TensorComparison.Floats(golden, info.Name);
        int vocabulary = (int)info.Shape[1];
        int step = 0;
        for (; step < info.Shape[0] && Margin(logits.AsSpan(step * vocabulary, vocabulary)) > BindingMargin; step++)
            Assert.True(expected[step] == actual[step], $"step {step}: token {actual[step]} where the goldens have {expected[step]}");
        output.WriteLine($"{checkpoint} {prompt}: {step} of {info.Shape[0]} steps have a margin that binds");
    }

    private static float Margin(ReadOnlySpan<float> logits)
    {
        float best = float.NegativeInfinity, second = float.NegativeInfinity;
        foreach (float logit in logits)
        {
            if (logit > best) (best, second) = (logit, best);
            else if (logit > second) second = logit;
        }

        return best - second;
    }
}
