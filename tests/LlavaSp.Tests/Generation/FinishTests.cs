using LlavaSp.Generation;
using LlavaSp.Tests.Checkpoints;
using LlavaSp.Text;

namespace LlavaSp.Tests.Generation;

/// <summary>Why and where an answer ends.</summary>
public sealed class FinishTests
{
    private static readonly LlavaSpModel Model = TestModels.Reference();
    private static readonly int[] Prompt = GoldenComparisonPrompt();

    [Fact]
    public void APromptThatDoesNotFitIsRefusedInOneLine()
    {
        using LlavaSpSession session = Model.CreateSession(Prompt.Length - 1);
        PromptException e = Assert.Throws<PromptException>(() => session.Generate(TestModels.Request(Prompt)));
        Assert.Equal(
            $"the prompt takes {Prompt.Length} positions, pictures included; the context holds {Prompt.Length - 1}: shorten it or use fewer pictures", e.Message);
        // The session is as it was.
        Assert.Equal(FinishReason.Length, session.Generate(TestModels.Request([1, 5], 1)).FinishReason);
        PromptException beyond = Assert.Throws<PromptException>(() => Model.CreateSession(4096));
        Assert.Contains("2048", beyond.Message, StringComparison.Ordinal);
        Assert.Throws<PromptException>(() => Model.CreateSession(0));
    }

    [Theory]
    [InlineData(0, 10, 1, FinishReason.Context)]
    [InlineData(1, 10, 2, FinishReason.Context)]
    [InlineData(5, 10, 6, FinishReason.Context)]
    [InlineData(0, 1, 1, FinishReason.Length)]
    [InlineData(1, 2, 2, FinishReason.Length)]
    [InlineData(9, 10, 10, FinishReason.Length)]
    [InlineData(20, 10, 10, FinishReason.Length)]
    public void TheContextEndsTheAnswer(int free, int most, int expected, FinishReason reason)
    {
        (GenerationResult all, _) = TestModels.Fresh(Model, TestModels.Request(Prompt, most));
        using LlavaSpSession session = Model.CreateSession(Prompt.Length + free);
        GenerationResult result = session.Generate(TestModels.Request(Prompt, most));
        Assert.Equal(reason, result.FinishReason);
        Assert.Equal(all.Ids.Take(expected), result.Ids);
        Assert.Equal(Prompt.Length + expected - 1, session.Runner.Length);
        // A full cache is no obstacle to the next answer.
        Assert.Equal(all.Ids.Take(expected), session.Generate(TestModels.Request(Prompt, most)).Ids);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-5)]
    [InlineData(int.MinValue)]
    public void NoTokensAreRefused(int tokens)
    {
        using LlavaSpSession session = Model.CreateSession(64);
        Assert.Contains("at least 1", Assert.Throws<PromptException>(() => session.Generate(TestModels.Request([1], tokens))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AnEndTokenEndsTheAnswerUnlessIgnored()
    {
        int[] expected = TestModels.Fresh(Model, TestModels.Request(Prompt, 8)).Result.Ids.ToArray();
        int at = Enumerable.Range(2, 5).First(i => !expected.Take(i).Contains(expected[i]));
        using TemporaryFolder folder = TestModels.Edited(
            "pooling-f32", _ => { }, generation => generation["eos_token_id"] = new System.Text.Json.Nodes.JsonArray(2, expected[at]));
        using LlavaSpModel model = LlavaSpModel.Load(folder.Root, TestModels.Options());
        using LlavaSpSession session = model.CreateSession(200);
        GenerationResult ended = session.Generate(TestModels.Request(Prompt, 8) with { IgnoreEnd = false });
        Assert.Equal(FinishReason.End, ended.FinishReason);
        Assert.Equal(expected.Take(at + 1), ended.Ids);
        Assert.Equal(PythonText.Strip(model.Tokenizer.Decode(expected.Take(at).ToArray())), ended.Text);
        GenerationResult all = session.Generate(TestModels.Request(Prompt, 8));
        Assert.Equal(FinishReason.Length, all.FinishReason);
        Assert.Equal(expected, all.Ids);
        // The end token at the first place of all.
        GenerationResult empty = session.Generate(TestModels.Request([.. Prompt, .. expected.Take(at)], 8) with { IgnoreEnd = false });
        Assert.Equal(FinishReason.End, empty.FinishReason);
        Assert.Equal("", empty.Text);
        Assert.Single(empty.Ids);
    }

    [Fact]
    public void EveryPieceOfTheAnswerStopsItWhereItFirstStands()
    {
        using LlavaSpSession session = Model.CreateSession(300);
        GenerationRequest request = TestModels.Request(Prompt, 20);
        GenerationResult all = session.Generate(request);
        string text = string.Concat(all.Tokens.Select(token => token.Text));
        // Where each token's text ends: stop strings are to begin inside one and end inside another.
        int[] ends = [.. all.Ids.Select((_, i) => Model.Tokenizer.Decode(all.Ids.Take(i + 1).ToArray()).Length)];
        Assert.Equal(text.Length, ends[^1]);
        int crossing = 0;
        for (int start = 0; start < text.Length; start++)
        {
            foreach (int length in (int[])[1, 2, 4, 7])
            {
                if (start + length > text.Length) continue;
                string stop = text.Substring(start, length);
                int first = text.IndexOf(stop, StringComparison.Ordinal);
                if (char.IsLowSurrogate(stop[0]) || stop.Contains('\uFFFD', StringComparison.Ordinal)) continue;
                var streamed = new System.Text.StringBuilder();
                GenerationResult result = session.Generate(request with { StopStrings = ["never there", stop] }, token => streamed.Append(token.Text));
                Assert.Equal(text[..first], streamed.ToString());
                Assert.Equal(PythonText.Strip(text[..first]), result.Text);
                Assert.Equal(FinishReason.StopString, result.FinishReason);
                // Not a token more than it takes.
                int needed = Array.FindIndex(ends, end => end >= first + length) + 1;
                Assert.Equal(all.Ids.Take(needed), result.Ids);
                if (ends.Any(end => end > first && end < first + length)) crossing++;
            }
        }

        Assert.True(crossing >= 20, $"only {crossing} stop strings crossed a border");
    }

    [Fact]
    public void TextHeldBackForAStopStringComesOutInTheEnd()
    {
        using LlavaSpSession session = Model.CreateSession(300);
        GenerationRequest request = TestModels.Request(Prompt, 10);
        GenerationResult all = session.Generate(request);
        string last = all.Text[^2..];
        GenerationResult held = session.Generate(request with { StopStrings = [last + "and more"] });
        Assert.Equal(all.Text, held.Text);
        Assert.Equal(FinishReason.Length, held.FinishReason);
        Assert.Throws<LlavaSpException>(() => session.Generate(request with { StopStrings = [""] }));
    }

    private static int[] GoldenComparisonPrompt() => Graph.GoldenComparison.Ids("pooling-f32", "text");
}
