using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using LlavaSp.Backends;
using LlavaSp.Backends.Reference;
using LlavaSp.Checkpoints;
using LlavaSp.Generation;
using LlavaSp.Imaging;
using LlavaSp.Tests.Checkpoints;

namespace LlavaSp.Tests.Generation;

/// <summary>Failures at every place of an answer, calls from several threads, and memory that is let go.</summary>
public sealed class SessionFaultTests
{
    private static readonly int[] Ids = [1, 20, -200, 21, 22];

    [Fact]
    public void AfterAFailureAnywhereTheNextAnswerIsRight()
    {
        using LlavaSpModel model = TestModels.Probed(out ProbeBackend probe);
        PreparedImage b = TestModels.Image(model, 'b'), c = TestModels.Image(model, 'c');
        GenerationRequest before = TestModels.Request([1, 20, 30, 31], 3), failing = TestModels.Request(Ids, 3, b), after = TestModels.Request(Ids, 3, c);
        (GenerationResult expected, float[] logits) = TestModels.Fresh(model, after, 700);
        using LlavaSpSession session = model.CreateSession(700);

        int failures = 0;
        for (int step = 1; ; step += 7)
        {
            session.Reset();
            session.Generate(before);
            probe.FailAt = probe.Calls + step;
            try
            {
                session.Generate(failing);
                break;
            }
            catch (InjectedException)
            {
                failures++;
            }

            probe.FailAt = 0;
            // What is left must be a true prefix: the same request, the earlier one, and another picture.
            GenerationRequest next = (failures % 3) switch { 0 => before, 1 => after, _ => failing };
            if (ReferenceEquals(next, after))
            {
                Assert.Equal(expected.Ids, session.Generate(after).Ids);
                Assert.Equal(0, TensorComparison.Difference(logits, session.Runner.Logits.ToArray()));
            }
            else
            {
                TestModels.SameAsFresh(model, session, next);
            }
        }

        Assert.True(failures > 10, $"only {failures} places failed");
    }

    [Fact]
    public void APictureThatCannotBeEncodedLeavesTheTextBeforeItUsable()
    {
        LlavaSpModel model = TestModels.Reference();
        PreparedImage good = TestModels.Image(model, 'c');
        PreparedImage bad = good with { Pixels = good.Pixels with { Pixels = default }, ContentHash = new string('e', 64) };
        using LlavaSpSession session = model.CreateSession(700);
        session.Generate(TestModels.Request(Ids, 3, good));
        Assert.ThrowsAny<Exception>(() => session.Generate(TestModels.Request(Ids, 3, bad)));
        Assert.Equal(2, session.Runner.Length);
        Assert.Equal(2, TestModels.SameAsFresh(model, session, TestModels.Request(Ids, 3, good)).ReusedLength);
    }

    [Fact]
    public void CancellationIsHeardInsideThePrompt()
    {
        using LlavaSpModel model = TestModels.Probed(out ProbeBackend probe);
        PreparedImage b = TestModels.Image(model, 'b'), c = TestModels.Image(model, 'c');
        int[] ids = [1, -200, -200, 20];
        using LlavaSpSession session = model.CreateSession(1300);
        using var stop = new CancellationTokenSource();
        var sink = new CancellingSink(stop);
        PromptSequence prompt = PromptSequence.Create(ids, [b, c], model.Encoder.LengthOf, 512);
        Assert.Throws<OperationCanceledException>(() => session.Runner.Prefill(prompt, new StageTimes(), null, _ => sink, stop.Token));
        Assert.Equal(1, probe.PicturesEncoded);
        Assert.Equal(0, session.Runner.Length);
        TestModels.SameAsFresh(model, session, TestModels.Request(ids, 2, b, c));
    }

    [Fact]
    public async Task ABackendIsCalledByOneThreadAtATime()
    {
        using LlavaSpModel model = TestModels.Probed(out ProbeBackend probe);
        await Task.WhenAll(Enumerable.Range(0, 4).Select(worker => Task.Run(() =>
        {
            for (int turn = 0; turn < 5; turn++)
            {
                using LlavaSpSession session = model.CreateSession(64);
                session.Generate(TestModels.Request([1, 20 + worker, 30], 4));
                session.Reset();
                session.Generate(TestModels.Request([1, 20, 30 + turn], 4));
            }

            if (worker == 0) ModelTracer.Run(model, [1, 2, 3], [], 3, new TraceFile());
        })));
        Assert.False(probe.Overlapped);
    }

    [Fact]
    public void PicturesAreLetGo()
    {
        LlavaSpModel model = TestModels.Reference();
        using LlavaSpSession session = model.CreateSession(700);
        WeakReference picture = Answer(model, session);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        Assert.False(picture.IsAlive);
    }

    [Fact]
    public void TokensThatTheTokenizerDoesNotKnowHaveNoText()
    {
        // A padded vocabulary: more rows of logits than pieces, as in llava-hf's checkpoints.
        CheckpointBuilder builder = CheckpointBuilder.FromGolden("pooling-f32");
        foreach (string name in (string[])["model.embed_tokens.weight", "lm_head.weight"])
        {
            (TensorInfo info, byte[] bytes) = builder.Tensors[name];
            // The strongest row of every token again, stronger.
            float[] rows = [.. MemoryMarshal.Cast<byte, float>(bytes).ToArray()];
            float scale = name == "lm_head.weight" ? 2 : 1;
            byte[] more = MemoryMarshal.AsBytes<float>([.. rows.Select(value => scale * value)]).ToArray();
            builder.Tensors[name] = (info with { Shape = [1024, 64] }, [.. bytes, .. more]);
        }

        builder.Config["vocab_size"] = 1024;
        using var folder = new TemporaryFolder();
        using LlavaSpModel model = LlavaSpModel.Load(builder.Write(folder.Root), TestModels.Options());
        using LlavaSpSession session = model.CreateSession(64);
        GenerationResult result = session.Generate(TestModels.Request([1, 20, 30], 8));
        Assert.All(result.Ids, id => Assert.InRange(id, 512, 1023));
        Assert.Equal("", result.Text);
    }

    [Fact]
    public void TheFeaturesOfTheLastFourPicturesAreKept()
    {
        using LlavaSpModel model = TestModels.Probed(out ProbeBackend probe);
        PreparedImage[] images = [.. Enumerable.Range(0, 5).Select(i => model.Prepare(Imaging.TestPictures.Constant(20, 20, (byte)(40 * i), 1, 2)))];
        using LlavaSpSession session = model.CreateSession(700);
        Assert.Equal([1, 2, 3, 4, 5], images.Select(Encoded));
        Assert.Equal(5, Encoded(images[1]));
        Assert.Equal(6, Encoded(images[0]));
        // The least recently used one went: number 2, because 1 was asked for again.
        Assert.Equal(6, Encoded(images[1]));
        Assert.Equal(7, Encoded(images[2]));
        // A trace encodes again, but does not crowd the others out.
        session.Runner.Prefill(PromptSequence.Create(Ids, [images[2]], model.Encoder.LengthOf, 512), new StageTimes(), new TraceFile("none"), _ => new TraceFile("none"));
        Assert.Equal(8, probe.PicturesEncoded);
        Assert.Equal(8, Encoded(images[0]));
        Assert.Equal(8, Encoded(images[1]));
        session.Reset();
        Assert.Equal(9, Encoded(images[1]));

        int Encoded(PreparedImage image)
        {
            session.Generate(TestModels.Request(Ids, 1, image));
            return probe.PicturesEncoded;
        }
    }

    [Fact]
    public void ASessionMayBeDisposedTwiceAndAfterItsModel()
    {
        LlavaSpModel model = TestModels.Probed(out _);
        LlavaSpSession session = model.CreateSession(64);
        session.Dispose();
        session.Dispose();
        LlavaSpSession later = model.CreateSession(64);
        model.Dispose();
        later.Dispose();
    }

    [Fact]
    public void ACacheLargerThanTheMachineIsRefused()
    {
        var shape = new KvCacheShape(80, 64, 128, 1 << 24, KvFormat.F16);
        using var backend = new ReferenceBackend();
        DeviceException e = Assert.Throws<DeviceException>(() => backend.CreateKvCache(shape));
        Assert.Contains("16777216 positions", e.Message, StringComparison.Ordinal);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference Answer(LlavaSpModel model, LlavaSpSession session)
    {
        PreparedImage image = TestModels.Image(model, 'd');
        session.Generate(TestModels.Request(Ids, 2, image));
        return new WeakReference(image);
    }

    /// <summary>Cancels as soon as the first picture is traced.</summary>
    private sealed class CancellingSink(CancellationTokenSource stop) : ITraceSink
    {
        public bool Wants(string name)
        {
            stop.Cancel();
            return false;
        }

        public void Add(string name, ReadOnlySpan<float> values, params ReadOnlySpan<long> shape) => Assert.Fail("nothing was wanted");
    }
}
