using LlavaSp.Backends.Cuda.Driver;

namespace LlavaSp.Backends.Cuda;

/// <summary>Marks are events in the stream of all computation: the device writes down when it passes them, and the host waits only to read.</summary>
internal sealed class CudaClock(CudaDevice device) : IWorkClock
{
    private readonly List<EventHandle> _marks = [];

    /// <inheritdoc/>
    public void Mark(int mark)
    {
        if (device.Step is not null) throw new InvalidOperationException("a step that is being recorded has not begun to run");
        device.Context.MakeCurrent();
        while (_marks.Count <= mark) _marks.Add(new EventHandle(device.Context, timing: true));
        _marks[mark].Record(device.Stream);
    }

    /// <inheritdoc/>
    public double Milliseconds(int from, int to)
    {
        device.Context.MakeCurrent();
        _marks[to].Synchronize("timing");
        return _marks[to].MillisecondsSince(_marks[from]);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (EventHandle mark in _marks) mark.Dispose();
    }
}
