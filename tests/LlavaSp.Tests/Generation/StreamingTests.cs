using LlavaSp.Generation;
using LlavaSp.Imaging;

namespace LlavaSp.Tests.Generation;

/// <summary>Answers as asynchronous sequences.</summary>
public sealed class StreamingTests
{
    private static readonly LlavaSpModel Model = TestModels.Reference();
    private static readonly int[] Prompt = Graph.GoldenComparison.Ids("pooling-f32", "text");

    [Fact]
    public async Task StreamsWhatGenerateGives()
    {
        GenerationRequest request = TestModels.Request(Prompt, 12) with { Sampling = new SamplingOptions { Temperature = 1, Seed = 5, TopLogProbs = 3 } };
        (GenerationResult expected, _) = TestModels.Fresh(Model, request);
        using LlavaSpSession session = Model.CreateSession(200);
        Assert.Null(session.LastResult);
        var tokens = new List<GeneratedToken>();
        await foreach (GeneratedToken token in session.StreamAsync(request, TestContext.Current.CancellationToken)) tokens.Add(token);
        Assert.Equal(expected.Ids, tokens.Select(token => token.Id));
        Assert.Equal(expected.Tokens.Select(token => token.Text), tokens.Select(token => token.Text));
        Assert.Equal(expected.Tokens.Select(token => token.LogProbability), tokens.Select(token => token.LogProbability));
        Assert.All(tokens, token => Assert.Equal(3, token.TopLogProbabilities.Count));
        Assert.Equal(expected.Ids, session.LastResult!.Ids);
        Assert.Equal(5, session.LastResult.Seed);
    }

    [Fact]
    public async Task AReaderThatLeavesEarlyLeavesNothingRunning()
    {
        using LlavaSpSession session = Model.CreateSession();
        int seen = 0;
        await foreach (GeneratedToken _ in session.StreamAsync(TestModels.Request(Prompt, 1900), TestContext.Current.CancellationToken))
        {
            if (++seen == 3) break;
        }

        Assert.Null(session.LastResult);
        int length = session.Runner.Length;
        Assert.InRange(length, Prompt.Length, Prompt.Length + 1800);
        await Task.Delay(30, TestContext.Current.CancellationToken);
        Assert.Equal(length, session.Runner.Length);
        Assert.True(TestModels.SameAsFresh(Model, session, TestModels.Request(Prompt, 6)).ReusedLength > 0);
    }

    [Fact]
    public async Task ASequenceThatIsNeverReadRunsNothing()
    {
        using LlavaSpSession session = Model.CreateSession(200);
        await session.StreamAsync(TestModels.Request(Prompt), TestContext.Current.CancellationToken)
            .GetAsyncEnumerator(TestContext.Current.CancellationToken).DisposeAsync();
        Assert.Equal(0, session.Runner.Length);
    }

    [Fact]
    public async Task WrongInputSurfacesAsItself()
    {
        using LlavaSpSession session = Model.CreateSession(64);
        Assert.Contains("positions", (await Assert.ThrowsAsync<PromptException>(() => Read(TestModels.Request(Prompt)))).Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<PromptException>(() => Read(TestModels.Request([1, -200])));
        await Assert.ThrowsAsync<PromptException>(() => Read(TestModels.Request([1, 512])));
        await Assert.ThrowsAsync<PromptException>(() => Read(TestModels.Request([1], 0)));
        await Assert.ThrowsAsync<LlavaSpException>(
            () => Read(TestModels.Request([1]) with { Sampling = new SamplingOptions { TopP = 0 } }));
        Assert.Equal(4, await Read(TestModels.Request([1], 4)));

        async Task<int> Read(GenerationRequest request)
        {
            int count = 0;
            await foreach (GeneratedToken _ in session.StreamAsync(request)) count++;
            return count;
        }
    }

    [Fact]
    public async Task CancellationEndsTheSequence()
    {
        using LlavaSpSession session = Model.CreateSession();
        using var stop = new CancellationTokenSource();
        int seen = 0;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (GeneratedToken _ in session.StreamAsync(TestModels.Request(Prompt, 1900), stop.Token))
            {
                if (++seen == 2) await stop.CancelAsync();
            }
        });
        Assert.InRange(seen, 2, 1899);
        TestModels.SameAsFresh(Model, session, TestModels.Request([.. Prompt, 17], 6));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (GeneratedToken _ in session.StreamAsync(TestModels.Request(Prompt), stop.Token)) Assert.Fail("was cancelled before it began");
        });
    }

    [Fact]
    public async Task SessionsOfOneModelTakeTurns()
    {
        PreparedImage[] images = [TestModels.Image(Model, 'b'), TestModels.Image(Model, 'c')];
        int[] ids = [1, 20, -200, 21];
        GenerationResult[] expected = [.. images.Select(image => TestModels.Fresh(Model, TestModels.Request(ids, 8, image)).Result)];
        Assert.NotEqual(expected[0].Ids, expected[1].Ids);
        await Task.WhenAll(Enumerable.Range(0, 4).Select(worker => Task.Run(() =>
        {
            using LlavaSpSession session = Model.CreateSession(700);
            for (int turn = 0; turn < 3; turn++)
            {
                int which = (worker + turn) % 2;
                Assert.Equal(expected[which].Ids, session.Generate(TestModels.Request(ids, 8, images[which])).Ids);
            }
        })));
    }
}
