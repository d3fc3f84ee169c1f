using LlavaSp.Backends;
using LlavaSp.Generation;
using LlavaSp.Imaging;
using LlavaSp.Quantization;

namespace LlavaSp.Tests.Graph;

/// <summary>
/// How far half and integer weights are from the goldens (docs/accuracy.md): relative error of the prefill's logits, and how many greedy tokens agree. The tiny
/// checkpoints have random weights and narrow layers, which quantisation hits harder than trained wide ones.
/// </summary>
public sealed class WeightFormatTests(ITestOutputHelper output)
{
    private static readonly string[] Checkpoints = ["pooling-f32", "cropping-f32"];

    /// <summary>Device, format, 8-bit activations; then the bounds: largest relative error, least share of greedy tokens that agree.</summary>
    public static TheoryData<string, string, bool, double, double> Cases() => new()
    {
        { "reference", "f16", false, 0.003, 0.99 },
        { "reference", "bf16", false, 0.018, 0.95 },
        { "reference", "int8:32", false, 0.065, 0.9 },
        { "reference", "int8:128", false, 0.065, 0.9 },
        { "reference", "int4:32", false, 0.7, 0.3 },
        { "reference", "int4:128", false, 0.95, 0.3 },
        { "cpu", "f16", false, 0.003, 0.99 },
        { "cpu", "bf16", false, 0.018, 0.95 },
        { "cpu", "int8:32", false, 0.065, 0.9 },
        { "cpu", "int8:32", true, 0.08, 0.85 },
        { "cpu", "int8:128", true, 0.1, 0.85 },
        { "cpu", "int4:32", false, 0.7, 0.3 },
        { "cpu", "int4:32", true, 0.7, 0.3 },
        { "cpu", "int4:128", true, 0.95, 0.3 },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void StaysWithinItsBounds(string device, string format, bool int8Activations, double largestError, double leastAgreement) =>
        Measure(device, format, KvFormat.F32, int8Activations, largestError, leastAgreement);

    /// <summary>Key-value caches of 16 and 8 bits: with exact weights on the reference, with f16 weights on CUDA.</summary>
    [Theory]
    [InlineData("reference", "f32", KvFormat.F16, 0.002, 0.99)]
    [InlineData("reference", "f32", KvFormat.Int8, 0.03, 0.97)]
    [InlineData("cuda-emulator", "f16", KvFormat.F16, 0.005, 0.99)]
    [InlineData("cuda-emulator", "f16", KvFormat.Int8, 0.03, 0.97)]
    public void CachesStayWithinTheirBounds(string device, string format, KvFormat kv, double largestError, double leastAgreement) =>
        Measure(device, format, kv, int8Activations: false, largestError, leastAgreement);

    private void Measure(string device, string format, KvFormat kv, bool int8Activations, double largestError, double leastAgreement)
    {
        if (device == "cuda-emulator") Backends.Cuda.CudaTesting.Create().Dispose();
        double error = 0;
        int same = 0, all = 0;
        foreach (string checkpoint in Checkpoints)
        {
            using LlavaSpModel exact = Load(checkpoint, "reference", "f32", false), model = Load(checkpoint, device, format, int8Activations, kv);
            foreach (string prompt in (string[])["ids", "vqa", "text", "turns"])
            {
                int[] greedy = GreedyIds(checkpoint, prompt);
                double one = RelativeError(Logits(exact, checkpoint, prompt), Logits(model, checkpoint, prompt));
                Assert.False(double.IsNaN(one), $"{checkpoint}, {prompt}: NaN");
                error = Math.Max(error, one);
                same += Agreement(model, checkpoint, prompt, greedy);
                all += greedy.Length;
            }
        }

        double agreement = (double)same / all;
        string activations = int8Activations ? "int8" : "float32";
        output.WriteLine(FormattableString.Invariant($"| {device} | {format} | {kv} | {activations} | {error:f4} | {agreement:p0} |"));
        Assert.True(error <= largestError, FormattableString.Invariant($"relative error {error:f4}, allowed {largestError}"));
        Assert.True(agreement >= leastAgreement, FormattableString.Invariant($"agreement {agreement:f2}, least {leastAgreement}"));
    }

    /// <summary>With float32 activations the CPU engine computes what the format says, to the rounding of float32.</summary>
    [Theory]
    [InlineData("f16")]
    [InlineData("bf16")]
    [InlineData("int8:64")]
    [InlineData("int4:32")]
    public void TheCpuEngineEqualsTheReferenceInTheSameFormat(string format)
    {
        using LlavaSpModel reference = Load("cropping-f32", "reference", format, false), cpu = Load("cropping-f32", "cpu", format, false);
        double error = RelativeError(Logits(reference, "cropping-f32", "vqa"), Logits(cpu, "cropping-f32", "vqa"));
        Assert.True(error <= 1e-4, FormattableString.Invariant($"relative error {error:g3}"));
    }

    private static LlavaSpModel Load(string checkpoint, string device, string format, bool int8Activations, KvFormat kv = KvFormat.F32) => LlavaSpModel.Load(
        Goldens.Checkpoint(checkpoint),
        new LoadOptions { Device = new DeviceOptions(device, 0, int8Activations), Weights = WeightFormat.Parse(format), KvFormat = kv });

    private static int[] GreedyIds(string checkpoint, string prompt)
    {
        using var golden = LlavaSp.Checkpoints.SafetensorsFile.Open(Goldens.Golden(checkpoint, "prompts.safetensors"));
        return TensorComparison.Ids(golden, $"{prompt}.greedy_ids");
    }

    private static float[] Logits(LlavaSpModel model, string checkpoint, string prompt)
    {
        using LlavaSpSession session = model.CreateSession();
        Prefill(model, session, checkpoint, prompt, []);
        return session.Runner.Logits.ToArray();
    }

    /// <summary>Teacher forcing: at how many places the model's best token is the golden one, given the golden tokens before it.</summary>
    private static int Agreement(LlavaSpModel model, string checkpoint, string prompt, int[] greedy)
    {
        using LlavaSpSession session = model.CreateSession();
        Prefill(model, session, checkpoint, prompt, greedy);
        int same = 0;
        foreach (int id in greedy)
        {
            if (model.Backend.Argmax(session.Runner.Logits) == id) same++;
            session.Runner.Step(id);
        }

        return same;
    }

    private static void Prefill(LlavaSpModel model, LlavaSpSession session, string checkpoint, string prompt, int[] greedy)
    {
        PreparedImage[] images = [.. GoldenComparison.Images(checkpoint, prompt).Select(letter => model.Prepare(ImageDecoder.Decode(Goldens.Image(letter))))];
        PromptSequence sequence = PromptSequence.Create(
            GoldenComparison.Ids(checkpoint, prompt), images, model.Encoder.LengthOf, model.Checkpoint.Decoder.VocabularySize);
        Assert.True(sequence.Length + greedy.Length <= session.ContextLength);
        session.Runner.Prefill(sequence, new StageTimes());
    }

    private static double RelativeError(float[] expected, float[] actual)
    {
        double difference = 0, norm = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            difference += Math.Pow(expected[i] - actual[i], 2);
            norm += Math.Pow(expected[i], 2);
        }

        return Math.Sqrt(difference / norm);
    }
}
