using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Generation;

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
