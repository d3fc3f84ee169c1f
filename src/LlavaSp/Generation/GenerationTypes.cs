using LlavaSp.Imaging;

namespace LlavaSp.Generation;

/// <summary>What to answer.</summary>
public sealed record GenerationRequest
{
    /// <summary>Prompt ids; <see cref="Text.ImageToken.Id"/> (-200) stands for a picture.</summary>
    public required int[] PromptIds { get; init; }

    /// <summary>One picture for each placeholder, in order.</summary>
    public IReadOnlyList<PreparedImage> Images { get; init; } = [];

    /// <summary>Choice of tokens.</summary>
    public SamplingOptions Sampling { get; init; } = new();

    /// <summary>Most tokens to generate.</summary>
    public int MaxNewTokens { get; init; } = 512;

    /// <summary>Texts that end the answer and are not part of it.</summary>
    public IReadOnlyList<string> StopStrings { get; init; } = [];

    /// <summary>Goes on after an end token, for benchmarks and traces.</summary>
    public bool IgnoreEnd { get; init; }

    /// <summary>Refuses an answer of no tokens.</summary>
    /// <exception cref="PromptException">No token is asked for.</exception>
    internal void Validate()
    {
        if (MaxNewTokens < 1) throw new PromptException($"{MaxNewTokens} new tokens were asked for: ask for at least 1");
    }
}

/// <summary>Why an answer ended.</summary>
public enum FinishReason
{
    /// <summary>The model gave an end token.</summary>
    End,

    /// <summary>A stop string appeared.</summary>
    StopString,

    /// <summary>MaxNewTokens were generated.</summary>
    Length,

    /// <summary>The context is full.</summary>
    Context,
}

/// <summary>One generated token.</summary>
/// <param name="Id">Token id.</param>
/// <param name="Text">Text that became certain with it: often the token's own, empty while a character or a possible stop string is incomplete.</param>
/// <param name="LogProbability">ln p of the token; NaN unless asked for.</param>
/// <param name="TopLogProbabilities">The most likely tokens at this place; empty unless asked for.</param>
public readonly record struct GeneratedToken(int Id, string Text, float LogProbability, IReadOnlyList<TokenLogProbability> TopLogProbabilities);

/// <summary>A finished answer.</summary>
public sealed record GenerationResult
{
    /// <summary>The answer, without stop string and surrounding white space (as upstream strips it).</summary>
    public required string Text { get; init; }

    /// <summary>All generated ids, the end token included.</summary>
    public required IReadOnlyList<int> Ids { get; init; }

    /// <summary>Per token, where asked for.</summary>
    public required IReadOnlyList<GeneratedToken> Tokens { get; init; }

    /// <summary>Why it ended.</summary>
    public required FinishReason FinishReason { get; init; }

    /// <summary>Positions of the prompt, picture rows included.</summary>
    public required int PromptLength { get; init; }

    /// <summary>Positions of the prompt that were in the cache already.</summary>
    public required int ReusedLength { get; init; }

    /// <summary>Time per stage.</summary>
    public required StageTimes Times { get; init; }

    /// <summary>Milliseconds from the call to the first token.</summary>
    public required double FirstTokenMilliseconds { get; init; }

    /// <summary>Seed of the sampler.</summary>
    public required int Seed { get; init; }

    /// <summary>Tokens per second of the decode stage; 0 when at most one token was generated.</summary>
    public double DecodeTokensPerSecond => Ids.Count > 1 && Times[Stage.Decode] > 0 ? (Ids.Count - 1) * 1000.0 / Times[Stage.Decode] : 0;

    /// <summary>Prompt positions per second of the prefill stage.</summary>
    public double PrefillTokensPerSecond => Times[Stage.Prefill] > 0 ? (PromptLength - ReusedLength) * 1000.0 / Times[Stage.Prefill] : 0;
}
