using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Generation;
using LlavaSp.Imaging;
using LlavaSp.Quantization;
using LlavaSp.Tests.Graph;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>The CUDA kernels, run by the emulator with weights and activations of 16 bits, against what the authors' own code computes in float32.</summary>
public sealed class CudaGoldenTests(ITestOutputHelper output)
{
    // Of layers with random weights; logits reach several units.
    private static readonly GoldenBounds Half = new(Features: 2e-2f, Hidden: 0.3f, Logits: 0.2f, ExactIds: false);

    /// <summary>Largest difference of logits that the greedy steps of a checkpoint may have: some 1.4 times what the test prints.</summary>
    private static readonly Dictionary<string, float> GreedyBounds = new()
    {
        ["cropping-f32"] = 0.07f,
        ["cropping-gqa-f16-anyres"] = 0.08f,
        ["cropping-lora"] = 0.2f,
        ["pooling-bf16"] = 0.07f,
        ["pooling-f32"] = 0.06f,
        ["pooling-gqa-sharded-f32-anyres"] = 0.1f,
    };

    // bf16 has three bits less. Measured: features 0.071, hidden states 0.26, logits 0.38.
    private static readonly GoldenBounds BF16 = new(Features: 0.1f, Hidden: 0.4f, Logits: 0.55f, ExactIds: false);

    /// <summary>As <see cref="GreedyBounds"/>, with bf16: the checkpoint that is bf16 itself, and two with detail fusion, one of them anyres.</summary>
    private static readonly Dictionary<string, float> BF16GreedyBounds = new()
    {
        ["cropping-f32"] = 0.55f,
        ["cropping-gqa-f16-anyres"] = 0.32f,
        ["pooling-bf16"] = 0.45f,
    };

    public static TheoryData<string, string> Checkpoints() =>
        [.. GreedyBounds.Keys.Select(static name => (name, "f16")), .. BF16GreedyBounds.Keys.Select(static name => (name, "bf16"))];

    [Fact]
    public void EveryCheckpointIsHere() =>
        Assert.Equal(BackendGoldenTests.Prompts().Select(static row => row.Data.Item1).Distinct().Order(), GreedyBounds.Keys.Order());

    [Theory]
    [MemberData(nameof(Checkpoints))]
    public void AgreesInHalfPrecision(string checkpoint, string weights)
    {
        (GoldenBounds bounds, float greedyBound) = weights == "bf16" ? (BF16, BF16GreedyBounds[checkpoint]) : (Half, GreedyBounds[checkpoint]);
        using LlavaSpModel model = Load(checkpoint, WeightFormat.Parse(weights));
        int bound = 0, steps = 0;
        foreach (string prompt in GoldenComparison.Prompts(checkpoint))
        {
            PreparedImage[] images = [.. GoldenComparison.Images(checkpoint, prompt).Select(letter => model.Prepare(ImageDecoder.Decode(Goldens.Image(letter))))];
            var trace = new TraceFile();
            ModelTracer.Run(model, GoldenComparison.Ids(checkpoint, prompt), images, GoldenComparison.Steps(checkpoint, prompt), trace);
            using var folder = new Checkpoints.TemporaryFolder();
            trace.Save(folder["trace"]);
            using SafetensorsFile traced = SafetensorsFile.Open(folder["trace"]);
            int compared = GoldenComparison.Check(checkpoint, prompt, traced, bounds);
            Assert.True(compared >= 2, $"{prompt}: only {compared} tensors were compared");
            (int boundHere, int stepsHere) = CompareGreedy(checkpoint, prompt, traced, greedyBound);
            bound += boundHere;
            steps += stepsHere;
        }

        Assert.True(steps == 0 || bound > 0, $"none of the {steps} greedy steps has a margin that binds its token");
    }

    private static LlavaSpModel Load(string checkpoint, WeightFormat weights)
    {
        CudaTesting.Create().Dispose();
        return LlavaSpModel.Load(
            Goldens.Checkpoint(checkpoint),
            new LoadOptions { Device = new DeviceOptions(CudaTesting.Device), AllHiddenStates = true, KvFormat = KvFormat.F16, Weights = weights });
    }

    /// <summary>
    /// Where the two best tokens are further apart than twice the bound of the logits, they cannot change places: the id is that of the goldens. Ends at the first
    /// step, not bound, that takes another token, since the ones behind it see another text.
    /// </summary>
    /// <returns>Steps that were bound, of those that the goldens hold.</returns>
    private (int Bound, int Steps) CompareGreedy(string checkpoint, string prompt, SafetensorsFile traced, float logitBound)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(Goldens.Golden(checkpoint, "prompts.safetensors"));
        if (!golden.Tensors.TryGetValue($"{prompt}.greedy_logits", out TensorInfo? info)) return (0, 0);
        int[] expected = TensorComparison.Ids(golden, $"{prompt}.greedy_ids"), actual = TensorComparison.Ids(traced, "greedy_ids");
        float[] goldenLogits = TensorComparison.Floats(golden, info.Name), logits = TensorComparison.Floats(traced, "greedy_logits");
        int vocabulary = (int)info.Shape[1], bound = 0, step = 0;
        float worst = 0;
        for (; step < info.Shape[0]; step++)
        {
            ReadOnlySpan<float> row = goldenLogits.AsSpan(step * vocabulary, vocabulary);
            worst = MathF.Max(worst, TensorComparison.Difference(row, logits.AsSpan(step * vocabulary, vocabulary)));
            bool binds = Margin(row) > 2 * logitBound;
            if (binds) bound++;
            Assert.True(!binds || expected[step] == actual[step], $"{prompt}, step {step}: token {actual[step]} where the goldens have {expected[step]}");
            if (expected[step] != actual[step]) break;
        }

        output.WriteLine(
            $"{checkpoint} {prompt}: {bound} of {info.Shape[0]} steps have a margin that binds, {step} have the goldens' token, largest difference of logits {worst:g3}");
        Assert.True(worst <= logitBound, $"{prompt}: logits of a greedy step differ by {worst:g3}, allowed {logitBound:g3}");
        return (bound, (int)info.Shape[0]);
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
