using System.Diagnostics;
using LlavaSp.Generation;

namespace LlavaSp;

/// <summary>
/// Answers to several prompts at once: every step reads the weights once for all of them, and pictures and texts that prompts begin with alike are computed
/// once, also across calls. Each answer is what a session of its own gives, up to rounding. Not thread-safe; takes turns with the model's sessions.
/// </summary>
public sealed class LlavaSpBatch : IDisposable
{
    private readonly LlavaSpModel _model;
    private readonly BatchRunner _runner;
    private bool _disposed;

    internal LlavaSpBatch(LlavaSpModel model, int size, int contextLength)
    {
        _model = model;
        _runner = model.Exclusively(() => new BatchRunner(
            model.Backend, model.Checkpoint.Decoder, model.Decoder, model.Encoder, size, contextLength, model.KvFormat));
    }

    /// <summary>Prompts that are answered at once.</summary>
    public int Size => _runner.Size;

    /// <summary>Positions of each that fit, pictures included.</summary>
    public int ContextLength => _runner.Capacity;

    /// <summary>Forgets what the caches hold, and the features of pictures.</summary>
    public void Reset() => _model.Exclusively(_runner.Reset);

    /// <summary>Answers on the calling thread.</summary>
    /// <param name="requests">At most <see cref="Size"/>.</param>
    /// <param name="cancellationToken">Stops after the tokens, or the picture or layer of a prompt, at work; the batch stays usable.</param>
    /// <returns>The answers in the order of the requests. Stage times are those of all together.</returns>
    /// <exception cref="ArgumentException">More requests than fit.</exception>
    /// <exception cref="PromptException">A prompt does not fit its pictures or the context, or no token is asked for.</exception>
    /// <exception cref="LlavaSpException">A sampling option is out of range, a stop string is empty, or the model computes NaN.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public IReadOnlyList<GenerationResult> Generate(IReadOnlyList<GenerationRequest> requests, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(requests);
        if (requests.Count > Size) throw new ArgumentException($"{requests.Count} requests for a batch of {Size}", nameof(requests));
        foreach (GenerationRequest request in requests) request.Validate();
        return requests.Count == 0 ? [] : _model.Exclusively(() => Run(requests, cancellationToken), cancellationToken);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        _model.Exclusively(_runner.Dispose);
    }

    private GenerationResult[] Run(IReadOnlyList<GenerationRequest> requests, CancellationToken cancellationToken)
    {
        long start = Stopwatch.GetTimestamp();
        var times = new StageTimes();
        PromptSequence[] prompts = [.. requests.Select(_model.Sequence)];
        var answers = new AnswerInProgress[requests.Count];
        try
        {
            for (int i = 0; i < answers.Length; i++) answers[i] = new AnswerInProgress(_model, requests[i]);
            int[] reused = _runner.Prefill(prompts, times, cancellationToken);
            List<int> running = [.. Enumerable.Range(0, answers.Length)];
            Choose(running, answers);
            double firstToken = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            _runner.Timer.Settle();
            Decode(running, answers, cancellationToken);
            return [.. answers.Select((answer, i) => answer.Result(prompts[i], reused[i], times, firstToken))];
        }
        finally
        {
            foreach (AnswerInProgress? answer in answers) answer?.Dispose();
        }
    }

    // Until all have ended; those that have make room.
    private void Decode(List<int> running, AnswerInProgress[] answers, CancellationToken cancellationToken)
    {
        int fixedFor = 0;
        while (running.Count > 0)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (running.Count != fixedFor) _runner.Run(running);
            fixedFor = running.Count;
            _runner.Timer.Begin();
            _runner.Step(running, answers);
            Choose(running, answers);
            _runner.Timer.Settle();
            _runner.Timer.End(Stage.Decode);
        }

        _runner.Timer.Settle();
    }

    // The next token of each, by the logits of its row; those that end leave the list.
    private void Choose(List<int> running, AnswerInProgress[] answers)
    {
        int kept = 0;
        for (int row = 0; row < running.Count; row++)
        {
            int sequence = running[row];
            AnswerInProgress answer = answers[sequence];
            answer.Add(answer.Choose(_runner.Logits(row)), _runner.LengthOf(sequence) >= _runner.Capacity);
            if (answer.Finish is null) running[kept++] = sequence;
        }

        running.RemoveRange(kept, running.Count - kept);
    }
}
