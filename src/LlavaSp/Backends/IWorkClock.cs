using System.Diagnostics;

namespace LlavaSp.Backends;

/// <summary>
/// The time between places in a backend's work, which is carried out in order but need not be done when a call returns. Marks are numbered by the caller, from
/// 0 on, and are set again and again.
/// </summary>
public interface IWorkClock : IDisposable
{
    /// <summary>Sets a mark behind all work so far. A backend that works while its caller goes on does not wait for it.</summary>
    /// <param name="mark">Small numbers: a clock holds something for each.</param>
    void Mark(int mark);

    /// <summary>Milliseconds from one mark to a later one; waits until the work before that is done.</summary>
    double Milliseconds(int from, int to);
}

/// <summary>The host's clock, for backends that are done when they return; others are waited for at every mark.</summary>
/// <param name="backend">The backend.</param>
internal sealed class HostClock(IBackend backend) : IWorkClock
{
    private readonly List<long> _marks = [];

    /// <inheritdoc/>
    public void Mark(int mark)
    {
        backend.Synchronize();
        while (_marks.Count <= mark) _marks.Add(0);
        _marks[mark] = Stopwatch.GetTimestamp();
    }

    /// <inheritdoc/>
    public double Milliseconds(int from, int to) => Stopwatch.GetElapsedTime(_marks[from], _marks[to]).TotalMilliseconds;

    /// <inheritdoc/>
    public void Dispose() { }
}
