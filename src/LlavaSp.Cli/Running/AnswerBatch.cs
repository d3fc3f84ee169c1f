using LlavaSp.Generation;

namespace LlavaSp.Cli.Running;

/// <summary>One batch for many requests, some at a time, which share what their prompts have in common; a new one where requests do not fit.</summary>
internal sealed class AnswerBatch(LoadedModel model) : IDisposable
{
    // A new batch forgets the picture: room for questions that are a little longer than the first.
    private const int Slack = 128;

    private LlavaSpBatch? _batch;

    /// <summary>Answers requests; of each, <see cref="LoadedModel.LengthOf"/> is known to fit.</summary>
    public IReadOnlyList<GenerationResult> Answer(IReadOnlyList<GenerationRequest> requests, CancellationToken cancellationToken)
    {
        int limit = model.Model.BatchContextLength;
        long needed = requests.Max(request => Math.Min(limit, (long)model.LengthOf(request) + request.MaxNewTokens));
        if (_batch is null || _batch.Size < requests.Count || _batch.ContextLength < needed)
        {
            int size = Math.Max(requests.Count, _batch?.Size ?? 0);
            _batch?.Dispose();
            _batch = null;
            _batch = model.Model.CreateBatch(size, (int)Math.Min(limit, needed + Slack));
        }

        return _batch.Generate(requests, cancellationToken);
    }

    public void Dispose() => _batch?.Dispose();
}
