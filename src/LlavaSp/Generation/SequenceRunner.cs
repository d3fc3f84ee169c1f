using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Graph;

namespace LlavaSp.Generation;

/// <summary>
/// One sequence on a backend: its key-value cache, what the cache holds, prefill and decode steps.
/// </summary>
internal sealed class SequenceRunner : IDisposable
{
    private readonly IBackend _backend;
    private readonly DecoderConfig _config;
    private readonly Decoder _decoder;
    private readonly KvCache _cache;
    private readonly Rope _rope;
    private readonly DecoderWorkspace _step;
    private readonly PromptInputs _inputs;
    private readonly List<UInt128> _held;
    private readonly IStepRecorder? _recorder;
    private readonly int[] _stepId = new int[1];

    public SequenceRunner(IBackend backend, DecoderConfig config, Decoder decoder, ImageEncoder encoder, int capacity, KvFormat format)
    {
        _backend = backend;
        _config = config;
        _decoder = decoder;
        Capacity = capacity;
        _cache = backend.CreateKvCache(new KvCacheShape(config.Layers, config.KvHeads, config.HeadDim, capacity, format));
        _rope = new Rope(backend, config, capacity);
        _step = new DecoderWorkspace(backend, config, 1);
        _recorder = backend.CreateStepRecorder();
        Timer = new StageTimer(backend);
        _inputs = new PromptInputs(backend, decoder, encoder);
        _held = new List<UInt128>(capacity);
    }

    /// <summary>Positions that fit.</summary>
    public int Capacity { get; }

    /// <summary>Positions that the cache holds.</summary>
    public int Length => _held.Count;

    /// <summary>[1, vocabulary]: logits of the last position, after <see cref="Prefill"/> or <see cref="Step"/>.</summary>
    public Tensor Logits => _step.Logits;

    /// <summary>Rotary tables; they hold what the last prefill or step used.</summary>
    internal RopeTable RopeTable => _rope.Table;

    /// <summary>Times its stages, and decode steps for those who make them; settle it once the work has been waited for.</summary>
    internal StageTimer Timer { get; }

    /// <summary>What records the decode steps, where the backend does.</summary>
    internal IStepRecorder? Recorder => _recorder;

    /// <summary>Forgets everything and releases the features of pictures.</summary>
    public void Reset()
    {
        _held.Clear();
        _rope.Reset();
        _inputs.Clear();
    }

    /// <summary>
    /// Makes the cache hold exactly the prompt, computing only what follows the longest prefix that it holds already.
    /// </summary>
    /// <param name="prompt">Ids and pictures.</param>
    /// <param name="times">Gets the times of the stages when <see cref="Timer"/> is settled.</param>
    /// <param name="trace">Receives the decoder's tensors; with it nothing is reused.</param>
    /// <param name="pictureTrace">Gives what receives the tensors of a picture, by its prefix.</param>
    /// <param name="cancellationToken">Stops between two pictures or layers.</param>
    /// <returns>Positions that were not computed again.</returns>
    /// <exception cref="PromptException">The prompt does not fit the context.</exception>
    /// <exception cref="OperationCanceledException">Cancelled between two pictures or layers; what the cache holds stays known.</exception>
    public int Prefill(
        PromptSequence prompt, StageTimes times, ITraceSink? trace = null, Func<string, ITraceSink?>? pictureTrace = null,
        CancellationToken cancellationToken = default)
    {
        prompt.RequireRoom(Capacity);
        int reused = trace is null ? CommonPrefix(prompt) : 0;
        // Whatever happens below, positions from here on no longer hold what they did.
        _held.RemoveRange(reused, _held.Count - reused);
        if (reused == 0) _rope.Reset();
        int rows = prompt.Length - reused;
        Timer.Times = times;
        using var work = new DecoderWorkspace(_backend, _config, rows);
        _inputs.Write(work.Hidden, prompt, reused, Timer, pictureTrace, cancellationToken);
        trace.AddTensor("inputs_embeds", work.Hidden);

        Timer.Begin();
        _rope.Extend(reused, prompt.Length);
        using Tensor? allLogits = trace is not null && trace.Wants("logits") ? _backend.CreateTensor(rows, _config.VocabularySize) : null;
        _decoder.Forward(work, _cache, _rope.Table, reused, trace, allLogits, cancellationToken);
        if (allLogits is not null) trace.AddTensor("logits", allLogits);
        _backend.Copy(_step.Logits, allLogits?.Slice(rows - 1, 1) ?? work.Logits);
        _held.AddRange(prompt.Keys.AsSpan(reused));
        Timer.End(Stage.Prefill);
        return reused;
    }

    /// <summary>Appends one token and computes the logits behind it. Allocates nothing.</summary>
    public void Step(int id)
    {
        _stepId[0] = id;
        _decoder.Embed(_step.Hidden, _stepId);
        _rope.Extend(Length, Length + 1);
        bool completed = false;
        _recorder?.Begin();
        try
        {
            _decoder.Forward(_step, _cache, _rope.Table, Length);
            completed = true;
        }
        finally
        {
            _recorder?.End(completed);
        }

        _held.Add((UInt128)(uint)id);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _inputs.Dispose();
        _recorder?.Dispose();
        Timer.Dispose();
        _step.Dispose();
        _rope.Dispose();
        _cache.Dispose();
    }

    private int CommonPrefix(PromptSequence prompt)
    {
        if (!_rope.KeysStay(prompt.Length)) return 0;
        // The last position is always computed: its logits are wanted.
        return Math.Min(prompt.CommonPrefix(_held), prompt.Length - 1);
    }
}
