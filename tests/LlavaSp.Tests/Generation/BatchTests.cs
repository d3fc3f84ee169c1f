using LlavaSp.Backends;
using LlavaSp.Generation;
using LlavaSp.Imaging;
using LlavaSp.Tests.Backends;
using LlavaSp.Tests.Backends.Cuda;
using LlavaSp.Tests.Checkpoints;

namespace LlavaSp.Tests.Generation;

/// <summary>Several answers side by side: each is what a session of its own gives, and what prompts share is computed once.</summary>
public sealed class BatchTests
{
    private static readonly int[] Question = [1, 328, 271, -200, 402, 343, 353], Other = [1, 328, 271, -200, 402, 99];
    private static readonly LlavaSpModel Model = TestModels.Reference();
    private static readonly PreparedImage B = TestModels.Image(Model, 'b'), C = TestModels.Image(Model, 'c');

    [Theory]
    [InlineData("pooling-f32")]
    [InlineData("cropping-f32")]
    public void EachAnswerIsThatOfASessionOfItsOwn(string checkpoint)
    {
        LlavaSpModel model = TestModels.Reference(checkpoint);
        using LlavaSpBatch batch = model.CreateBatch(6, 700);
        // Of different lengths, so that they end one after the other and from the middle.
        GenerationRequest[] requests =
        [
            TestModels.Request(Question, 4, B), TestModels.Request([1, 20, 30], 9), TestModels.Request(Question, 1, C), TestModels.Request(Other, 7, B),
            TestModels.Request(Question, 7, B), TestModels.Request([1], 2),
        ];
        SameAsSessions(model, batch, requests);
    }

    [Fact]
    public void WhatPromptsShareIsComputedOnce()
    {
        using LlavaSpModel model = TestModels.Probed(out ProbeBackend probe);
        using LlavaSpBatch batch = model.CreateBatch(3, 700);
        var first = batch.Generate(
            [TestModels.Request(Question, 3, B), TestModels.Request(Other, 3, B), TestModels.Request(Question, 3, B)], TestContext.Current.CancellationToken);
        Assert.Equal(1, probe.PicturesEncoded);
        Assert.Equal([0, 3 + 582 + 1, 3 + 582 + 2], first.Select(result => result.ReusedLength));
        Assert.Equal(first[0].Ids, first[2].Ids);

        // The next questions about it, in other places.
        var second = batch.Generate([TestModels.Request(Other, 3, B), TestModels.Request(Question, 3, B)], TestContext.Current.CancellationToken);
        Assert.Equal(1, probe.PicturesEncoded);
        Assert.Equal([3 + 582 + 1, 3 + 582 + 2], second.Select(result => result.ReusedLength));
        Assert.Equal([first[1].Text, first[0].Text], second.Select(result => result.Text));
        Assert.Equal(0, second[0].Times[Stage.Vision]);
        Assert.True(second[0].Times[Stage.Prefill] > 0 && second[0].Times[Stage.Decode] > 0);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void AnyHistoryAnswersAsSessionsDo(int seed)
    {
        var random = new Random(seed);
        using LlavaSpBatch batch = Model.CreateBatch(4, 620);
        int reused = 0;
        for (int turn = 0; turn < 6; turn++)
        {
            var requests = new GenerationRequest[random.Next(1, 5)];
            for (int i = 0; i < requests.Length; i++)
            {
                // Few different tokens, so that prompts share beginnings of every length.
                int[] text = [1, .. Enumerable.Range(0, random.Next(1, 9)).Select(_ => 40 + random.Next(2))];
                bool picture = random.Next(3) == 0;
                requests[i] = TestModels.Request(picture ? [1, -200, .. text[1..]] : text, 1 + random.Next(6), picture ? [random.Next(2) == 0 ? B : C] : []);
            }

            reused += SameAsSessions(Model, batch, requests).Sum(result => result.ReusedLength);
        }

        Assert.True(reused > 0);
    }

    [Fact]
    public void ABatchOutlivesFaultsAndInterruptions()
    {
        using LlavaSpModel model = TestModels.Probed(out ProbeBackend probe);
        using LlavaSpBatch batch = model.CreateBatch(3, 640);
        GenerationRequest[] requests = [TestModels.Request(Other, 3, B), TestModels.Request([1, 5, 6, 7], 4), TestModels.Request(Question, 3, B)];
        string[] expected = [.. batch.Generate(requests, TestContext.Current.CancellationToken).Select(result => result.Text)];
        int calls = probe.Calls;
        batch.Reset();
        Assert.NotEmpty(batch.Generate(requests, TestContext.Current.CancellationToken));
        int whole = probe.Calls - calls;
        var random = new Random(5);
        for (int round = 0; round < 12; round++)
        {
            if (round % 2 == 0) batch.Reset();
            probe.FailAt = probe.Calls + 1 + random.Next(whole);
            try
            {
                batch.Generate(requests, TestContext.Current.CancellationToken);
            }
            catch (Exception e) when (e is not Xunit.Sdk.XunitException)
            {
                // The fault that was asked for; fewer operations than planned, and there was none.
            }

            probe.FailAt = 0;
            Assert.Equal(expected, batch.Generate(requests, TestContext.Current.CancellationToken).Select(result => result.Text));
        }

        using var stop = new CancellationTokenSource();
        stop.Cancel();
        Assert.Throws<OperationCanceledException>(() => batch.Generate(requests, stop.Token));
        Assert.Equal(expected, batch.Generate(requests, TestContext.Current.CancellationToken).Select(result => result.Text));
    }

    [Fact]
    public void StopStringsEndTokensAndSeedsAreEachAnswersOwn()
    {
        using LlavaSpBatch batch = Model.CreateBatch(4, 640);
        GenerationRequest plain = TestModels.Request(Question, 8, C);
        GenerationResult alone = TestModels.Fresh(Model, plain).Result;
        string stop = alone.Tokens.First(token => token.Text.Length > 0).Text;
        GenerationRequest[] requests =
        [
            plain, plain with { StopStrings = [stop] }, plain with { Sampling = new SamplingOptions { Temperature = 1, Seed = 3 } },
            plain with { Sampling = new SamplingOptions { Temperature = 1, Seed = 4 } },
        ];
        GenerationResult[] results = SameAsSessions(Model, batch, requests);
        Assert.Equal(FinishReason.StopString, results[1].FinishReason);
        Assert.NotEqual(results[2].Ids, results[3].Ids);
    }

    [Fact]
    public void TheContextEndsAnAnswer()
    {
        using LlavaSpBatch batch = Model.CreateBatch(2, 12);
        GenerationResult[] results = [.. batch.Generate([TestModels.Request([1, 5, 6], 40), TestModels.Request([1, 5], 3)], TestContext.Current.CancellationToken)];
        Assert.Equal(FinishReason.Context, results[0].FinishReason);
        Assert.Equal(FinishReason.Length, results[1].FinishReason);
    }

    [Fact]
    public void WrongInputIsRefused()
    {
        using LlavaSpBatch batch = Model.CreateBatch(2, 100);
        GenerationRequest good = TestModels.Request([1, 2], 2);
        Assert.Empty(batch.Generate([], TestContext.Current.CancellationToken));
        Assert.Throws<ArgumentException>(() => batch.Generate([good, good, good]));
        Assert.Throws<PromptException>(() => batch.Generate([good, good with { MaxNewTokens = 0 }]));
        Assert.Contains("the context holds 100", Assert.Throws<PromptException>(() => batch.Generate([good, TestModels.Request(Question, 2, B)])).Message, StringComparison.Ordinal);
        Assert.Throws<PromptException>(() => batch.Generate([good, good with { Images = [B] }]));
        Assert.Throws<ArgumentOutOfRangeException>(() => Model.CreateBatch(0));
        Assert.Throws<PromptException>(() => Model.CreateBatch(2, 1 << 25));
        Assert.Equal(2, batch.Generate([good, good], TestContext.Current.CancellationToken).Count);
    }

    [Fact]
    public void UnderDynamicScalingNoSequencePassesTheTrainedLength()
    {
        using TemporaryFolder folder = TestModels.Edited("pooling-f32", config =>
        {
            config["max_position_embeddings"] = 16;
            config["rope_scaling"] = new System.Text.Json.Nodes.JsonObject { ["type"] = "dynamic", ["factor"] = 4.0 };
        });
        using LlavaSpModel model = LlavaSpModel.Load(folder.Root, TestModels.Options());
        Assert.Throws<PromptException>(() => model.CreateBatch(2, 17));
        using LlavaSpBatch batch = model.CreateBatch(2);
        Assert.Equal(16, batch.ContextLength);
        SameAsSessions(model, batch, [TestModels.Request([1, 20, 30], 9), TestModels.Request([1, 20], 12)]);
    }

    /// <summary>The engines compute several rows with other kernels than one: the same words, on a model whose words are far apart.</summary>
    [Theory]
    [InlineData("cpu", "f32")]
    [InlineData("cpu", "int4")]
    [InlineData("cuda-emulator", "f16")]
    public void TheEnginesAnswerAsTheirSessionsDo(string device, string weights)
    {
        if (device == "cpu") CpuTesting.SkipWithoutLibrary();
        else CudaTesting.Create().Dispose();
        using LlavaSpModel model = LlavaSpModel.Load(
            Goldens.Checkpoint("pooling-f32"),
            TestModels.Options() with { Device = new DeviceOptions(device), Weights = Quantization.WeightFormat.Parse(weights), KvFormat = KvFormat.F16 });
        using LlavaSpBatch batch = model.CreateBatch(4, 640);
        GenerationRequest[] requests =
            [TestModels.Request(Question, 4, B), TestModels.Request(Other, 3, B), TestModels.Request([1, 20, 30], 5), TestModels.Request([1, 20, 31], 2)];
        GenerationResult[] results = [.. batch.Generate(requests, TestContext.Current.CancellationToken)];
        for (int i = 0; i < requests.Length; i++) Assert.Equal(TestModels.Fresh(model, requests[i], 640).Result.Ids, results[i].Ids);
    }

    private static GenerationResult[] SameAsSessions(LlavaSpModel model, LlavaSpBatch batch, GenerationRequest[] requests)
    {
        GenerationResult[] results = [.. batch.Generate(requests, TestContext.Current.CancellationToken)];
        Assert.Equal(requests.Length, results.Length);
        for (int i = 0; i < requests.Length; i++)
        {
            GenerationResult alone = TestModels.Fresh(model, requests[i], batch.ContextLength).Result;
            Assert.Equal(alone.Ids, results[i].Ids);
            Assert.Equal(alone.Text, results[i].Text);
            Assert.Equal(alone.FinishReason, results[i].FinishReason);
            Assert.Equal(alone.PromptLength, results[i].PromptLength);
        }

        return results;
    }
}
