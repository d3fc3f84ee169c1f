using LlavaSp.Text;

namespace LlavaSp.Generation;

/// <summary>One answer as it grows: chooses its tokens, keeps its text, knows when it has ended.</summary>
internal sealed class AnswerInProgress : IDisposable
{
    private readonly LlavaSpModel _model;
    private readonly GenerationRequest _request;
    private readonly TokenSampler _sampler;
    private readonly List<GeneratedToken> _tokens;
    private readonly StreamingDetokenizer _detokenizer;
    private readonly StopStringFilter _stop;
    private readonly System.Text.StringBuilder _text = new();

    /// <summary>An answer without a token yet.</summary>
    /// <exception cref="LlavaSpException">A sampling option is out of range, or a stop string is empty.</exception>
    public AnswerInProgress(LlavaSpModel model, GenerationRequest request)
    {
        _model = model;
        _request = request;
        _sampler = new TokenSampler(model.Backend, request.Sampling, model.Checkpoint.Decoder.VocabularySize);
        _tokens = new List<GeneratedToken>(Math.Min(request.MaxNewTokens, 4096));
        _detokenizer = new StreamingDetokenizer(model.Tokenizer);
        _stop = new StopStringFilter(request.StopStrings);
    }

    /// <summary>Tokens so far.</summary>
    public int Count => _tokens.Count;

    /// <summary>The last token.</summary>
    public int LastId => _tokens[^1].Id;

    /// <summary>Why it has ended; null while it has not.</summary>
    public FinishReason? Finish { get; private set; }

    /// <summary>The next token by these logits [1, vocabulary]; waits for them.</summary>
    /// <exception cref="LlavaSpException">A logit is NaN.</exception>
    public int Choose(Backends.Tensor logits) => _sampler.Choose(logits);

    /// <summary>Adds what <see cref="Choose"/> gave.</summary>
    /// <param name="id">The token.</param>
    /// <param name="full">Whether the context has no place for another.</param>
    public GeneratedToken Add(int id, bool full)
    {
        bool end = !_request.IgnoreEnd && _model.Checkpoint.EndIds.Contains(id);
        // Ids of a padded vocabulary, which the tokenizer does not know, have no text.
        string text = end || !_model.Tokenizer.Knows(id) ? "" : Keep(_stop.Append(_detokenizer.Append(id)));
        Finish = end ? FinishReason.End
            : Stopped ? FinishReason.StopString
            : _tokens.Count + 1 >= _request.MaxNewTokens ? FinishReason.Length
            : full ? FinishReason.Context
            : null;
        if (Finish is not null) text += Flush();
        // What was held back for an unfinished character can complete a stop string.
        if (Stopped) Finish = FinishReason.StopString;
        var token = new GeneratedToken(id, text, _sampler.ChosenLogProbability, _sampler.TopLogProbabilities);
        _tokens.Add(token);
        return token;
    }

    /// <summary>The finished answer.</summary>
    public GenerationResult Result(PromptSequence prompt, int reused, StageTimes times, double firstTokenMilliseconds) => new()
    {
        Text = PythonText.Strip(_text.ToString()),
        Ids = [.. _tokens.Select(static token => token.Id)],
        Tokens = _tokens,
        FinishReason = Finish ?? throw new InvalidOperationException("the answer has not ended"),
        PromptLength = prompt.Length,
        ReusedLength = reused,
        Times = times,
        FirstTokenMilliseconds = firstTokenMilliseconds,
        Seed = _sampler.Seed,
    };

    /// <inheritdoc/>
    public void Dispose() => _sampler.Dispose();

    private bool Stopped => _stop.Found is not null;

    private string Flush()
    {
        if (Stopped) return "";
        string rest = Keep(_stop.Append(_detokenizer.Flush()));
        return Stopped ? rest : rest + Keep(_stop.Flush());
    }

    private string Keep(string text)
    {
        _text.Append(text);
        return text;
    }
}
