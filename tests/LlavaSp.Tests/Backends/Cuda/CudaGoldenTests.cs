using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Generation;
using LlavaSp.Imaging;
using LlavaSp.Quantization;
using LlavaSp.Tests.Graph;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>The CUDA kernels, run by the emulator with half-precision weights and activations, against what the authors' own code computes in float32.</summary>
public sealed class CudaGoldenTests
{
    // Measured (docs/accuracy.md), with room for other orders of summation.
    private static readonly GoldenBounds Half = new(Features: 2e-2f, Logits: 0.3f, ExactIds: false);

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

    /// <summary>Up to the first step at which two tokens are closer than the bound, the ids are those of the goldens.</summary>
    private static void CompareGreedy(string checkpoint, string prompt, SafetensorsFile traced)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(Goldens.Golden(checkpoint, "prompts.safetensors"));
        if (!golden.Tensors.TryGetValue($"{prompt}.greedy_logits", out TensorInfo? info)) return;
        int[] expected = TensorComparison.Ids(golden, $"{prompt}.greedy_ids"), actual = TensorComparison.Ids(traced, "greedy_ids");
        float[] logits = TensorComparison.Floats(golden, info.Name);
        int vocabulary = (int)info.Shape[1];
        for (int step = 0; step < info.Shape[0] && Margin(logits.AsSpan(step * vocabulary, vocabulary)) > 2 * Half.Logits; step++)
            Assert.True(expected[step] == actual[step], $"step {step}: token {actual[step]} where the goldens have {expected[step]}");
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
