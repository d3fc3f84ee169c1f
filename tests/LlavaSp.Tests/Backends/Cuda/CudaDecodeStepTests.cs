using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Checkpoints;
using LlavaSp.Generation;
using LlavaSp.Quantization;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>Decode steps as CUDA graphs: the same bits as launch by launch, few graphs, no garbage.</summary>
public sealed class CudaDecodeStepTests
{
    private const int Steps = 70, Rounds = 4;

    [Theory]
    [InlineData("f16")]
    [InlineData("int8")]
    [InlineData("int4:32")]
    public void RecordedStepsGiveTheSameBits(string weights)
    {
        float[][] logits = [Run(weights, recorded: false), Run(weights, recorded: true)];
        Assert.Equal(0, TensorComparison.Difference(logits[0], logits[1]));
    }

    [Fact]
    public void AStepAllocatesNothing()
    {
        using LlavaSpModel model = Load("f16", recorded: true);
        using LlavaSpSession session = model.CreateSession(8 + 6 * Rounds + Steps);
        SequenceRunner runner = Prefilled(model, session);
        for (int i = 0; i < Steps; i++) runner.Step(model.Backend.Argmax(runner.Logits));
        long least = long.MaxValue;
        for (int round = 0; round < Rounds; round++)
        {
            // Few enough that one round at most needs another page of the cache.
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 6; i++) runner.Step(model.Backend.Argmax(runner.Logits));
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
    }

    /// <summary>A layer is at most six launches: q/k/v with its norm, rope, attention, output, gate and up with their norm, down.</summary>
    [Theory]
    [InlineData("f16", true)]
    [InlineData("int8", false)]
    [InlineData("int8", true)]
    [InlineData("int4", true)]
    [InlineData("int4:32", false)]
    public void ALayerIsAtMostSixLaunches(string weights, bool int8Activations)
    {
        int[] launches = [.. new[] { 1, 2, 4 }.Select(layers => LaunchesOfAStep(layers, weights, int8Activations))];
        Assert.InRange(launches[1] - launches[0], 1, 6);
        Assert.Equal(2 * (launches[1] - launches[0]), launches[2] - launches[1]);
        Assert.InRange(launches[0], 7, 8);
    }

    private static int LaunchesOfAStep(int layers, string weights, bool int8Activations)
    {
        using ModelCheckpoint checkpoint = SyntheticModel.Build(
            "layers", Shapes.Decoder(128, 256, layers, 4, 2, 32, 96), Shapes.Tower(32, 64, 2, 2), null, 16, 16);
        using LlavaSpModel model = LlavaSpModel.Load(
            checkpoint, null, new LoadOptions { Weights = WeightFormat.Parse(weights) }, 0, _ => CudaTesting.Create(int8Activations: int8Activations));
        // A cache that is long enough for several splits of the attention.
        using LlavaSpSession session = model.CreateSession(1100);
        SequenceRunner runner = session.Runner;
        runner.Prefill(PromptSequence.Create([.. Enumerable.Range(0, 1030).Select(static i => i % 90)], [], model.Encoder.LengthOf, 96), new StageTimes());
        runner.Step(1);
        return ((StepGraph)runner.Recorder!).Launches;
    }

    private static float[] Run(string weights, bool recorded)
    {
        using LlavaSpModel model = Load(weights, recorded);
        using LlavaSpSession session = model.CreateSession(8 + Steps);
        SequenceRunner runner = Prefilled(model, session);
        var logits = new float[Steps * 512];
        for (int i = 0; i < Steps; i++)
        {
            runner.Step(model.Backend.Argmax(runner.Logits));
            runner.Logits.Read(logits.AsSpan(i * 512, 512));
        }

        if (recorded) Assert.InRange(((StepGraph)runner.Recorder!).Builds, 1, 3);
        else Assert.Null(runner.Recorder);
        return logits;
    }

    private static SequenceRunner Prefilled(LlavaSpModel model, LlavaSpSession session)
    {
        session.Runner.Prefill(PromptSequence.Create([1, 20, 30], [], model.Encoder.LengthOf, 512), new StageTimes());
        return session.Runner;
    }

    private static LlavaSpModel Load(string weights, bool recorded) => CudaTesting.Load(weights, cuda => cuda.RecordsSteps = recorded);
}
