using LlavaSp.Backends;

namespace LlavaSp.Generation;

/// <summary>
/// Times stages by a backend's own clock. Nothing waits where a stage begins or ends: times are added once they are known, by <see cref="Settle"/>. Stages do
/// not overlap. Allocates nothing once as many stages have been open at a time as ever will be.
/// </summary>
/// <param name="backend">Where the stages run.</param>
internal sealed class StageTimer(IBackend backend) : IDisposable
{
    private const int None = -1;

    private readonly IWorkClock _clock = backend.CreateClock();
    private readonly List<Span> _spans = [];
    private readonly Stack<int> _free = new();
    private int _marks;
    private int _open = None;

    /// <summary>Where the times of stages go that end from now on.</summary>
    public StageTimes Times { get; set; } = new();

    /// <summary>A stage begins behind all work so far; one that an exception cut short is forgotten.</summary>
    public void Begin()
    {
        if (_open == None) _open = Take();
        _clock.Mark(_open);
    }

    /// <summary>The stage that began last ends behind all work so far.</summary>
    public void End(Stage stage)
    {
        if (_open == None) throw new InvalidOperationException($"{stage} did not begin");
        int end = Take();
        _clock.Mark(end);
        _spans.Add(new Span(Times, stage, _open, end));
        _open = None;
    }

    /// <summary>Adds the times of all stages that have ended; waits for the last of them.</summary>
    public void Settle()
    {
        foreach ((StageTimes times, Stage stage, int from, int to) in _spans)
        {
            times.Add(stage, _clock.Milliseconds(from, to));
            _free.Push(from);
            _free.Push(to);
        }

        _spans.Clear();
    }

    /// <inheritdoc/>
    public void Dispose() => _clock.Dispose();

    private int Take() => _free.TryPop(out int mark) ? mark : _marks++;

    private readonly record struct Span(StageTimes Times, Stage Stage, int From, int To);
}
