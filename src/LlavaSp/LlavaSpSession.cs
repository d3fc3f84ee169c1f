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
        _runner = Exclusively(() => new SequenceRunner(
            model.Backend, model.Checkpoint.Decoder, model.Decoder, model.Encoder, contextLength, model.KvFormat));
    }

    /// <summary>Positions that fit, pictures included.</summary>
    public int ContextLength => _runner.Capacity;

    /// <summary>The last finished answer; null before the first.</summary>
    public GenerationResult? LastResult { get; private set; }

    internal SequenceRunner Runner => _runner;

    /// <summary>Positions that a prompt takes, pictures included.</summary>
    /// <exception cref="PromptException">Placeholders and pictures do not match, or an id is unknown.</exception>
    public int LengthOf(GenerationRequest request) => Sequence(request).Length;

    /// <summary>Forgets what the cache holds, and the features of pictures.</summary>
    public void Reset() => Exclusively(() =>
    {
        _runner.Reset();
        return true;
    });

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
        if (request.MaxNewTokens < 1) throw new PromptException($"{request.MaxNewTokens} new tokens were asked for: ask for at least 1");
        return LastResult = Exclusively(() => Run(request, onToken, cancellationToken), cancellationToken);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        Exclusively(() =>
        {
            _runner.Dispose();
            return true;
        });
    }

    /// <summary>A backend takes calls from one thread at a time, also those that make and free tensors.</summary>
    private T Exclusively<T>(Func<T> work, CancellationToken cancellationToken = default)
    {
        _model.Gate.Wait(cancellationToken);
        try
        {
            return work();
        }
        finally
        {
            _model.Gate.Release();
        }
    }

    private GenerationResult Run(GenerationRequest request, Action<GeneratedToken>? onToken, CancellationToken cancellationToken)
    {
        long start = Stopwatch.GetTimestamp();
        var times = new StageTimes();
        PromptSequence prompt = Sequence(request);
        using var sampler = new TokenSampler(_model.Backend, request.Sampling, _model.Checkpoint.Decoder.VocabularySize);
        var output = new AnswerText(_model.Tokenizer, request.StopStrings);
        cancellationToken.ThrowIfCancellationRequested();
        int reused = _runner.Prefill(prompt, times, cancellationToken: cancellationToken);

        var tokens = new List<GeneratedToken>(Math.Min(request.MaxNewTokens, 4096));
        FinishReason? finish = null;
        double firstToken = 0;
        while (finish is null)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (tokens.Count > 0)
            {
                _runner.Timer.Begin();
                _runner.Step(tokens[^1].Id);
            }

            int id = sampler.Choose(_runner.Logits);
            if (tokens.Count == 0) firstToken = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            // The choice waited for all that ended before: nothing here waits again.
            _runner.Timer.Settle();
            if (tokens.Count > 0) _runner.Timer.End(Stage.Decode);

            bool end = !request.IgnoreEnd && _model.Checkpoint.EndIds.Contains(id);
            string text = end ? "" : output.Append(id);
            finish = end ? FinishReason.End
                : output.Stopped ? FinishReason.StopString
                : tokens.Count + 1 >= request.MaxNewTokens ? FinishReason.Length
                : _runner.Length >= _runner.Capacity ? FinishReason.Context
                : null;
            if (finish is not null) text += output.Flush();
            // What was held back for an unfinished character can complete a stop string.
            if (output.Stopped) finish = FinishReason.StopString;
            var token = new GeneratedToken(id, text, sampler.ChosenLogProbability, sampler.TopLogProbabilities);
            tokens.Add(token);
            onToken?.Invoke(token);
        }

        _runner.Timer.Settle();
        return new GenerationResult
        {
            Text = PythonText.Strip(output.Text),
            Ids = [.. tokens.Select(token => token.Id)],
            Tokens = tokens,
            FinishReason = finish.Value,
            PromptLength = prompt.Length,
            ReusedLength = reused,
            Times = times,
            FirstTokenMilliseconds = firstToken,
            Seed = sampler.Seed,
        };
    }

    private PromptSequence Sequence(GenerationRequest request) => PromptSequence.Create(
        request.PromptIds, request.Images, _model.Encoder.LengthOf, _model.Checkpoint.Decoder.VocabularySize);

    /// <summary>The answer's text as it grows: whole characters, up to a stop string.</summary>
    private sealed class AnswerText(LlavaTokenizer tokenizer, IReadOnlyList<string> stopStrings)
    {
        private readonly StreamingDetokenizer _detokenizer = new(tokenizer);
        private readonly StopStringFilter _stop = new(stopStrings);
        private readonly System.Text.StringBuilder _text = new();

        public bool Stopped => _stop.Found is not null;

        public string Text => _text.ToString();

        /// <summary>The text that became certain; ids of a padded vocabulary, which the tokenizer does not know, have none.</summary>
        public string Append(int id) => tokenizer.Knows(id) ? Keep(_stop.Append(_detokenizer.Append(id))) : "";

        public string Flush()
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
}
