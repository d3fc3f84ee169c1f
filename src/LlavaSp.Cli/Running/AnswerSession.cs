using LlavaSp.Generation;

namespace LlavaSp.Cli.Running;

/// <summary>One session for many requests, which share what their prompts have in common; a new one where a request does not fit.</summary>
internal sealed class AnswerSession(LoadedModel model) : IDisposable
{
    // A new session forgets the picture: room for questions that are a little longer than the first.
    private const int Slack = 128;

    private LlavaSpSession? _session;

    /// <summary>Answers a request.</summary>
    /// <exception cref="PromptException">The prompt alone is longer than the model's context.</exception>
    public GenerationResult Answer(GenerationRequest request, CancellationToken cancellationToken) =>
        SessionFor(request).Generate(request, cancellationToken: cancellationToken);

    /// <summary>Forgets what earlier requests left.</summary>
    public void Reset() => _session?.Reset();

    public void Dispose() => _session?.Dispose();

    private LlavaSpSession SessionFor(GenerationRequest request)
    {
        if (_session is not null && _session.ContextLength >= Needed(_session, request)) return _session;
        _session?.Dispose();
        _session = null;
        return _session = model.SessionFor(request with { MaxNewTokens = (int)Math.Min(int.MaxValue, (long)request.MaxNewTokens + Slack) });
    }

    // A prompt beyond the model's context is left to the session, which says so.
    private long Needed(LlavaSpSession session, GenerationRequest request) =>
        Math.Min(model.Model.Checkpoint.Decoder.ContextLength, (long)session.LengthOf(request) + request.MaxNewTokens);
}
