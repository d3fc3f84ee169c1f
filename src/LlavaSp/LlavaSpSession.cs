using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using LlavaSp.Generation;
using LlavaSp.Text;

namespace LlavaSp;

/// <summary>
/// One conversation on a model. Prompts are given whole; what they have in common with the last one, pictures included, is not computed again.
/// Not thread-safe, and not to be called from within <c>onToken</c>; sessions of one model take turns, answer by answer.
/// </summary>
public sealed class LlavaSpSession : IDisposable
{
    private readonly LlavaSpModel _model;
    private readonly SequenceRunner _runner;
    private bool _disposed;

    internal LlavaSpSession(LlavaSpModel model, int contextLength)
    {
        _model = model;
        _runner = model.Exclusively(() => new SequenceRunner(
            model.Backend, model.Checkpoint.Decoder, model.Decoder, model.Encoder, contextLength, model.KvFormat));
    }

    /// <summary>Positions that fit, pictures included.</summary>
    public int ContextLength => _runner.Capacity;

    /// <summary>The last finished answer; null before the first.</summary>
    public GenerationResult? LastResult { get; private set; }

    internal SequenceRunner Runner => _runner;

    /// <summary>Positions that a prompt takes, pictures included.</summary>
    /// <exception cref="PromptException">Placeholders and pictures do not match, or an id is unknown.</exception>
    public int LengthOf(GenerationRequest request) => _model.Sequence(request).Length;

    /// <summary>Forgets what the cache holds, and the features of pictures.</summary>
    public void Reset() => _model.Exclusively(_runner.Reset);

    /// <summary>Answers, token by token as they come. <see cref="LastResult"/> is set when the sequence ends.</summary>
    /// <param name="request">Prompt and options.</param>
    /// <param name="cancellationToken">Stops after the token, or the picture or layer of the prompt, at work; the cache stays usable.</param>
    /// <exception cref="PromptException">The prompt does not fit its pictures or the context, or no token is asked for.</exception>
    /// <exception cref="LlavaSpException">A sampling option is out of range, a stop string is empty, or the model computes NaN.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public async IAsyncEnumerable<GeneratedToken> StreamAsync(
        GenerationRequest request, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        var tokens = Channel.CreateUnbounded<GeneratedToken>(new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task work = Task.Factory.StartNew(
            () =>
            {
                try
                {
                    Generate(request, token => tokens.Writer.TryWrite(token), stop.Token);
                    tokens.Writer.Complete();
                }
                catch (Exception e)
                {
                    tokens.Writer.Complete(e);
                }
            },
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        try
        {
            await foreach (GeneratedToken token in tokens.Reader.ReadAllAsync(CancellationToken.None).ConfigureAwait(false)) yield return token;
        }
        finally
        {
            // A reader that leaves early must not leave the worker running on the shared backend.
            await stop.CancelAsync().ConfigureAwait(false);
            await work.ConfigureAwait(false);
        }
    }

    /// <summary>Answers on the calling thread.</summary>
    /// <param name="request">Prompt and options.</param>
    /// <param name="onToken">Called with every token.</param>
    /// <param name="cancellationToken">Stops after the token, or the picture or layer of the prompt, at work; the cache stays usable.</param>
    /// <inheritdoc cref="StreamAsync" path="/exception"/>
    public GenerationResult Generate(GenerationRequest request, Action<GeneratedToken>? onToken = null, CancellationToken cancellationToken = default)
    {
        request.Validate();
        return LastResult = _model.Exclusively(() => Run(request, onToken, cancellationToken), cancellationToken);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        _model.Exclusively(_runner.Dispose);
    }

    private GenerationResult Run(GenerationRequest request, Action<GeneratedToken>? onToken, CancellationToken cancellationToken)
    {
        long start = Stopwatch.GetTimestamp();
        var times = new StageTimes();
        PromptSequence prompt = _model.Sequence(request);
        using var answer = new AnswerInProgress(_model, request);
        cancellationToken.ThrowIfCancellationRequested();
        int reused = _runner.Prefill(prompt, times, cancellationToken: cancellationToken);

        double firstToken = 0;
        while (answer.Finish is null)
        {
            cancellationToken.ThrowIfCancellationRequested();
            bool first = answer.Count == 0;
            if (!first)
            {
                _runner.Timer.Begin();
                _runner.Step(answer.LastId);
            }

            int id = answer.Choose(_runner.Logits);
            if (first) firstToken = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            // The choice waited for all that ended before: nothing here waits again.
            _runner.Timer.Settle();
            if (!first) _runner.Timer.End(Stage.Decode);
            GeneratedToken token = answer.Add(id, _runner.Length >= _runner.Capacity);
            onToken?.Invoke(token);
        }

        _runner.Timer.Settle();
        return answer.Result(prompt, reused, times, firstToken);
    }
}
