using LlavaSp.Backends.Cuda.Driver;

namespace LlavaSp.Backends.Cuda;

/// <summary>
/// Page-locked memory for small copies in both directions: two halves, each free again once the copies out of it are done, so that nothing waits for a copy
/// that it does not overwrite.
/// </summary>
internal sealed unsafe class StagingRing : IDisposable
{
    /// <summary>Most bytes of one piece.</summary>
    public const int PieceBytes = 4 << 20;

    private const int Alignment = 64;

    private readonly StreamHandle _stream;
    private readonly PinnedHandle _memory;
    private readonly EventHandle[] _done;
    private int _half;
    private int _used;

    public StagingRing(ContextHandle context, StreamHandle stream)
    {
        _stream = stream;
        _memory = new PinnedHandle(context, 2L * PieceBytes);
        _done = [new EventHandle(context), new EventHandle(context)];
    }

    /// <summary>The first byte of what was reserved last.</summary>
    public byte* Last { get; private set; }

    /// <summary>Pinned memory, the caller's until it reserves again; copies out of it must be queued by then.</summary>
    public Span<byte> Reserve(int bytes)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, PieceBytes);
        if (_used + bytes > PieceBytes)
        {
            _done[_half].Record(_stream);
            _half ^= 1;
            _used = 0;
            _done[_half].Synchronize("waiting for a staging buffer");
        }

        Last = _memory.Pointer + _half * (long)PieceBytes + _used;
        _used += (bytes + Alignment - 1) / Alignment * Alignment;
        return new Span<byte>(Last, bytes);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (EventHandle done in _done) done.Dispose();
        _memory.Dispose();
    }
}
