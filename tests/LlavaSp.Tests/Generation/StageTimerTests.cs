using System.Diagnostics;
using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Backends.Reference;
using LlavaSp.Generation;
using LlavaSp.Imaging;
using LlavaSp.Tests.Backends.Cuda;

namespace LlavaSp.Tests.Generation;

/// <summary>Times of stages: there on every device, by its own clock, and without waiting for it in between.</summary>
public sealed class StageTimerTests
{
    private static readonly Stage[] Stages = [Stage.Vision, Stage.SpatialTokens, Stage.Projector, Stage.Prefill, Stage.Decode];

    [Theory]
    [InlineData("reference")]
    [InlineData("cpu")]
    [InlineData("cuda")]
    public void EveryStageTakesTimeAndAllTogetherNoMoreThanTheAnswer(string device)
    {
        LoadOptions options = TestModels.Options() with { Device = new DeviceOptions(device) };
        if (device == "cuda")
        {
            // Skips where there is none.
            CudaTesting.Create().Dispose();
            options = options with { Device = new DeviceOptions(CudaTesting.Device), KvFormat = null, Weights = null };
        }

        using LlavaSpModel model = LlavaSpModel.Load(Goldens.Checkpoint("pooling-f32"), options);
        using LlavaSpSession session = model.CreateSession();
        PreparedImage image = TestModels.Image(model, 'c');
        for (int round = 0; round < 2; round++)
        {
            session.Reset();
            long start = Stopwatch.GetTimestamp();
            GenerationResult result = session.Generate(
                TestModels.Request([1, 20, -200, 30], 4, image), cancellationToken: TestContext.Current.CancellationToken);
            double wall = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            Assert.All(Stages, stage => Assert.True(result.Times[stage] > 0, $"{stage} took {result.Times[stage]} ms"));
            Assert.Equal(0, result.Times[Stage.Preprocess]);
            // Events know half a microsecond.
            Assert.InRange(result.Times.Total, 0, wall + 0.1);
            double untilPrefill = result.Times.Total - result.Times[Stage.Decode];
            Assert.InRange(untilPrefill, 0, result.FirstTokenMilliseconds + 0.1);
            Assert.True(result.DecodeTokensPerSecond > 0 && result.PrefillTokensPerSecond > 0);
        }
    }

    [Fact]
    public void OnCudaAPromptIsQueuedWithoutWaitingForItsStages()
    {
        // Blocks from segments: those that are freed by themselves wait.
        using LlavaSpModel model = CudaTesting.Load("f16", segmentBytes: 16 << 20);
        var cuda = (CudaBackend)model.Backend;
        using LlavaSpSession session = model.CreateSession(1400);
        SequenceRunner runner = session.Runner;
        for (int round = 0; round < 2; round++)
        {
            runner.Reset();
            PromptSequence prompt = PromptSequence.Create(
                [1, 20, -200, 30, -200, 40], [TestModels.Image(model, 'c'), TestModels.Image(model, 'b')], model.Encoder.LengthOf, 512);
            var times = new StageTimes();
            int before = cuda.Device.Stream.Waits;
            runner.Prefill(prompt, times);
            // The first time there may be memory to find, which waits.
            if (round == 0) continue;
            Assert.Equal(before, cuda.Device.Stream.Waits);
            Assert.Equal(0, times.Total);
            cuda.Argmax(runner.Logits);
            Assert.Equal(before + 1, cuda.Device.Stream.Waits);
            runner.Timer.Settle();
            Assert.Equal(before + 1, cuda.Device.Stream.Waits);
            Assert.All(Stages[..^1], stage => Assert.True(times[stage] > 0, $"{stage} took {times[stage]} ms"));
        }
    }

    [Fact]
    public void TimesGoToWhoeverTheStageEndedFor()
    {
        using var backend = new ReferenceBackend();
        using var timer = new StageTimer(backend);
        StageTimes first = timer.Times, second = new();
        timer.Begin();
        Thread.Sleep(20);
        // Cut short: only what begins last is timed.
        timer.Begin();
        timer.End(Stage.Vision);
        timer.Times = second;
        timer.Begin();
        Thread.Sleep(20);
        timer.End(Stage.Prefill);
        Assert.Equal(0, first.Total + second.Total);
        timer.Settle();
        timer.Settle();
        Assert.InRange(first[Stage.Vision], 0, 15);
        Assert.InRange(second[Stage.Prefill], 15, 5000);
        Assert.Equal((first[Stage.Vision], second[Stage.Prefill]), (first.Total, second.Total));
        Assert.Throws<InvalidOperationException>(() => timer.End(Stage.Decode));
    }

    [Fact]
    public void EventsAreUsedAgain()
    {
        using CudaBackend cuda = CudaTesting.Create();
        using var timer = new StageTimer(cuda);
        using Tensor x = cuda.CreateTensor(64, 1024), y = cuda.CreateTensor(64, 1024);
        long allocated = 0;
        for (int i = 0; i < 50; i++)
        {
            if (i == 10) allocated = GC.GetAllocatedBytesForCurrentThread();
            timer.Begin();
            cuda.Copy(y, x);
            timer.End(Stage.Decode);
            timer.Settle();
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - allocated);
        Assert.True(timer.Times[Stage.Decode] > 0);
    }
}
