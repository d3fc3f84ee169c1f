using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Graph;

namespace LlavaSp.Generation;

/// <summary>
/// Several sequences side by side on a backend, each with a key-value cache of its own. Every pass reads the weights once for all of them, and what prompts
/// have in common at their beginning, pictures included, is computed once and copied.
/// </summary>
internal sealed class BatchRunner : IDisposable
{
    private readonly IBackend _backend;
    private readonly DecoderConfig _config;
    private readonly Decoder _decoder;
    private readonly Rope _rope;
    private readonly PromptInputs _inputs;
    private readonly Slot[] _slots;
    private readonly DecoderWorkspace _step;
    private readonly Tensor _logits;
    private readonly int[] _ids;
    private readonly SequenceRows[] _rows;
    private DecoderWorkspace _stepOfRunning;
    private Tensor _logitsOfRunning;

    /// <summary>Allocates caches for <paramref name="size"/> sequences of <paramref name="capacity"/> positions.</summary>
    public BatchRunner(IBackend backend, DecoderConfig config, Decoder decoder, ImageEncoder encoder, int size, int capacity, KvFormat format)
    {
        _backend = backend;
        _config = config;
        _decoder = decoder;
        Capacity = capacity;
        _rope = new Rope(backend, config, capacity);
        _inputs = new PromptInputs(backend, decoder, encoder);
        _stepOfRunning = _step = new DecoderWorkspace(backend, config, size);
        _logitsOfRunning = _logits = backend.CreateTensor(size, config.VocabularySize);
        var shape = new KvCacheShape(config.Layers, config.KvHeads, config.HeadDim, capacity, format);
        _slots = [.. Enumerable.Range(0, size).Select(i => new Slot(backend.CreateKvCache(shape), new List<UInt128>(capacity), _logits.Slice(i, 1)))];
        _ids = new int[size];
        _rows = new SequenceRows[size];
        Timer = new StageTimer(backend);
    }

    /// <summary>Sequences that fit.</summary>
    public int Size => _slots.Length;

    /// <summary>Positions of each that fit.</summary>
    public int Capacity { get; }

    /// <summary>Times its stages; settle it once the work has been waited for.</summary>
    public StageTimer Timer { get; }

    /// <summary>Positions that the cache of a sequence holds.</summary>
    public int LengthOf(int sequence) => _slots[sequence].Held.Count;

    /// <summary>[1, vocabulary]: row <paramref name="row"/> of the logits behind the last pass. Behind <see cref="Prefill"/> row i is sequence i's.</summary>
    public Tensor Logits(int row) => _slots[row].Logits;

    /// <summary>Forgets everything and releases the features of pictures.</summary>
    public void Reset()
    {
        foreach (Slot slot in _slots) slot.Held.Clear();
        _inputs.Clear();
    }

    /// <summary>Makes the caches of the first sequences hold exactly these prompts.</summary>
    /// <param name="prompts">At most <see cref="Size"/>.</param>
    /// <param name="times">Gets the times of the stages when <see cref="Timer"/> is settled.</param>
    /// <param name="cancellationToken">Stops between two pictures or layers; what the caches hold stays known.</param>
    /// <returns>Positions of each that were not computed again.</returns>
    /// <exception cref="PromptException">A prompt does not fit.</exception>
    public int[] Prefill(IReadOnlyList<PromptSequence> prompts, StageTimes times, CancellationToken cancellationToken)
    {
        foreach (PromptSequence prompt in prompts) prompt.RequireRoom(Capacity);
        Timer.Times = times;
        var reused = new int[prompts.Count];
        var together = new List<int>();
        for (int i = 0; i < prompts.Count; i++)
        {
            reused[i] = Share(i, prompts[i]);
            // The next prompts may begin with the same picture; texts are short, and read the weights together.
            if (prompts[i].HasPictureFrom(reused[i])) Pass(prompts, [i], cancellationToken);
            else together.Add(i);
        }

        if (together.Count > 0) Pass(prompts, together, cancellationToken);
        return reused;
    }

    /// <summary>Fixes which sequences the next steps are about. Row i of their logits is running[i]'s.</summary>
    public void Run(IReadOnlyList<int> running)
    {
        _stepOfRunning = _step.Top(running.Count);
        _logitsOfRunning = running.Count == Size ? _logits : _logits.Slice(0, running.Count);
        for (int row = 0; row < running.Count; row++) _rows[row] = _stepOfRunning.Of(row, 1, _slots[running[row]].Cache, 0);
    }

    /// <summary>Appends one token to each running sequence and computes the logits behind it. Allocates nothing.</summary>
    /// <param name="running">What <see cref="Run"/> was told.</param>
    /// <param name="answers">The last token of each sequence.</param>
    public void Step(List<int> running, AnswerInProgress[] answers)
    {
        for (int row = 0; row < running.Count; row++)
        {
            _ids[row] = answers[running[row]].LastId;
            _rows[row] = _rows[row] with { First = LengthOf(running[row]) };
        }

        _decoder.Embed(_stepOfRunning.Hidden, _ids.AsSpan(0, running.Count));
        _decoder.Forward(_stepOfRunning, _rows.AsSpan(0, running.Count), _rope.Table, _logitsOfRunning);
        for (int row = 0; row < running.Count; row++) _slots[running[row]].Held.Add((UInt128)(uint)_ids[row]);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Slot slot in _slots) slot.Cache.Dispose();
        _logits.Dispose();
        _step.Dispose();
        _inputs.Dispose();
        _rope.Dispose();
        Timer.Dispose();
    }

    // Positions of the prompt that the slot's cache holds afterwards: its own, or copied from whichever holds more of them.
    private int Share(int index, PromptSequence prompt)
    {
        Slot slot = _slots[index], source = slot;
        // The last position is always computed: its logits are wanted.
        int limit = prompt.Length - 1, shared = Math.Min(prompt.CommonPrefix(slot.Held), limit);
        foreach (Slot other in _slots)
        {
            int common = Math.Min(prompt.CommonPrefix(other.Held), limit);
            if (common > shared) (source, shared) = (other, common);
        }

        if (source != slot)
        {
            // Whatever happens below, the slot no longer holds what it did.
            slot.Held.Clear();
            _backend.CopyCache(slot.Cache, source.Cache, shared);
            slot.Held.AddRange(prompt.Keys.AsSpan(0, shared));
        }

        slot.Held.RemoveRange(shared, slot.Held.Count - shared);
        return shared;
    }

    // What the slots lack of their prompts, in one pass.
    private void Pass(IReadOnlyList<PromptSequence> prompts, List<int> which, CancellationToken cancellationToken)
    {
        var counts = which.ConvertAll(i => prompts[i].Length - LengthOf(i));
        using var work = new DecoderWorkspace(_backend, _config, counts.Sum());
        using Tensor logits = _backend.CreateTensor(which.Count, _config.VocabularySize);
        var rows = new SequenceRows[which.Count];
        var last = new int[which.Count];
        for (int i = 0, row = 0; i < which.Count; row += counts[i++])
        {
            int first = LengthOf(which[i]);
            _inputs.Write(work.Hidden.Slice(row, counts[i]), prompts[which[i]], first, Timer, null, cancellationToken);
            rows[i] = work.Of(row, counts[i], _slots[which[i]].Cache, first);
            last[i] = row + counts[i] - 1;
        }

        Timer.Begin();
        _decoder.Forward(work, rows, _rope.Table, last, logits, cancellationToken);
        for (int i = 0; i < which.Count; i++)
        {
            _backend.Copy(_slots[which[i]].Logits, logits.Slice(i, 1));
            _slots[which[i]].Held.AddRange(prompts[which[i]].Keys.AsSpan(LengthOf(which[i])));
        }

        Timer.End(Stage.Prefill);
    }

    private sealed record Slot(KvCache Cache, List<UInt128> Held, Tensor Logits);
}
