using LlavaSp.Backends;
using LlavaSp.Backends.Cpu;
using LlavaSp.Generation;
using LlavaSp.Quantization;
using LlavaSp.Tests.Checkpoints;

namespace LlavaSp.Tests.Generation;

/// <summary>Steps that run for every token leave the garbage collector alone. The reference backend allocates by design and has no part in this.</summary>
public sealed class AllocationTests
{
    private const int Rounds = 4;

    [Theory]
    [InlineData("f32")]
    [InlineData("f16")]
    [InlineData("int8")]
    [InlineData("int4")]
    public void ADecodeStepAllocatesNothing(string weights)
    {
        WeightFormat format = weights switch
        {
            "f32" => WeightFormat.F32,
            "f16" => WeightFormat.F16,
            "int8" => WeightFormat.Int8(32),
            _ => WeightFormat.Int4(32),
        };
        using LlavaSpModel model = LlavaSpModel.Load(Goldens.Checkpoint("pooling-f32"), Options() with { Weights = format });
        Assert.Equal(0, AllocatedInSteps(model, [1, 20, 30], 50));
    }

    [Fact]
    public void AStepOfABatchAllocatesNothing()
    {
        using LlavaSpModel model = LlavaSpModel.Load(Goldens.Checkpoint("pooling-f32"), Options());
        const int Steps = 40;
        using var runner = new BatchRunner(model.Backend, model.Checkpoint.Decoder, model.Decoder, model.Encoder, 3, 3 + (1 + Rounds) * Steps, model.KvFormat);
        PromptSequence prompt = PromptSequence.Create([1, 20, 30], [], model.Encoder.LengthOf, 512);
        runner.Prefill([prompt, prompt, prompt], new StageTimes(), TestContext.Current.CancellationToken);
        var request = new GenerationRequest { PromptIds = [1], MaxNewTokens = 1000, IgnoreEnd = true };
        AnswerInProgress[] answers = [new(model, request), new(model, request), new(model, request)];
        foreach (AnswerInProgress answer in answers) answer.Add(5, full: false);
        List<int> running = [0, 2];
        runner.Run(running);
        for (int i = 0; i < Steps; i++) runner.Step(running, answers);
        Assert.Equal(0, Least(Steps, () => runner.Step(running, answers)));
        foreach (AnswerInProgress answer in answers) answer.Dispose();
    }

    [Fact]
    public void ADecodeStepBeyondTheTrainedLengthAllocatesNothing()
    {
        using TemporaryFolder folder = TestModels.Edited("pooling-f32", config =>
        {
            config["max_position_embeddings"] = 16;
            config["rope_scaling"] = new System.Text.Json.Nodes.JsonObject { ["type"] = "dynamic", ["factor"] = 32.0 };
        });
        using LlavaSpModel model = LlavaSpModel.Load(folder.Root, Options());
        Assert.Equal(0, AllocatedInSteps(model, [1, 20, 30], 50));
    }

    [Theory]
    [InlineData(0, 1f, 0f)]
    [InlineData(40, 1f, 0f)]
    [InlineData(0, 0.9f, 0f)]
    [InlineData(40, 0.9f, 0.05f)]
    public void AChoiceAllocatesNothing(int topK, float topP, float minP)
    {
        var random = new Random(1);
        float[] logits = [.. Enumerable.Range(0, 32000).Select(_ => (float)(random.NextDouble() * 10))];
        var sampler = new Sampler(
            new SamplingOptions { Temperature = 1, TopK = topK, TopP = topP, MinP = minP, RepetitionPenalty = 1.1f, Seed = 1 }, logits.Length);
        sampler.Choose(logits);
        Assert.Equal(0, Least(10, () => sampler.Choose(logits)));
    }

    private static long AllocatedInSteps(LlavaSpModel model, int[] ids, int steps)
    {
        using LlavaSpSession session = model.CreateSession(ids.Length + (1 + Rounds) * steps);
        SequenceRunner runner = session.Runner;
        runner.Prefill(PromptSequence.Create(ids, [], model.Encoder.LengthOf, 512), new StageTimes());
        // The first steps compile.
        for (int i = 0; i < steps; i++) runner.Step(model.Backend.Argmax(runner.Logits));
        return Least(steps, () => runner.Step(model.Backend.Argmax(runner.Logits)));
    }

    /// <summary>
    /// Bytes of the best round: a collection that another test brings about counts what is left of this thread's allocation context as allocated.
    /// </summary>
    private static long Least(int repeats, Action work)
    {
        long least = long.MaxValue;
        for (int round = 0; round < Rounds; round++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < repeats; i++) work();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        return least;
    }

    private static LoadOptions Options()
    {
        if (!CpuBackend.IsAvailable(out string problem)) Assert.Skip($"the CPU backend is not there: {problem}");
        return TestModels.Options() with { Device = new DeviceOptions("cpu", 1) };
    }
}
