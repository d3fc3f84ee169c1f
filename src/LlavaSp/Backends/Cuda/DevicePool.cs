using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using LlavaSp.Backends.Cuda.Driver;

namespace LlavaSp.Backends.Cuda;

/// <summary>
/// Device memory that comes back: blocks are cut from segments (best fit, neighbours joined again), because cuMemAlloc takes long and waits for the device. A
/// block that was given back may be handed out at once: its next user's work stands behind that of the last one in the same stream. One thread at a time; only
/// <see cref="Abandon"/> may come from any.
/// </summary>
/// <param name="context">Where the memory is.</param>
/// <param name="stream">The stream of all work on the blocks.</param>
/// <param name="segmentBytes">
/// Size of a segment; 0 makes every block an allocation of its own, of exactly its size, so that the emulator sees its bounds.
/// </param>
internal sealed unsafe class DevicePool(ContextHandle context, StreamHandle stream, long segmentBytes) : IDisposable
{
    /// <summary>Alignment of every block.</summary>
    public const int Alignment = 256;

    // From a quarter of a segment on a block has a segment to itself: weights, which stay.
    private const int OwnSegmentShare = 4;

    private readonly List<Segment> _segments = [];
    private readonly List<(Segment Segment, long Offset, long Size)> _kept = [];
    private readonly ConcurrentQueue<DeviceBlock> _abandoned = new();

    /// <summary>Bytes of blocks that are handed out.</summary>
    public long UsedBytes { get; private set; }

    /// <summary>Bytes taken from the device, free ones included.</summary>
    public long HeldBytes { get; private set; }

    /// <summary>Most bytes ever taken from the device.</summary>
    public long PeakBytes { get; private set; }

    /// <summary>Bytes of the whole device.</summary>
    public long TotalBytes => MemoryOfDevice().Total;

    /// <summary>Whether blocks that are given back stay as they are until this is false again: the launches that use them were not made yet.</summary>
    public bool KeepFreed
    {
        get;
        set
        {
            field = value;
            if (value) return;
            foreach ((Segment segment, long offset, long size) in _kept) Free(segment, offset, size);
            _kept.Clear();
        }
    }

    /// <summary>A block with undefined contents.</summary>
    /// <param name="bytes">Size; 0 counts as 1.</param>
    /// <param name="what">For the message when there is no memory: <c>the activations [640, 4096]</c>.</param>
    /// <exception cref="DeviceException">There is no memory for it.</exception>
    public DeviceBlock Allocate(long bytes, string what)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        long size = segmentBytes == 0 ? Math.Max(bytes, 1) : (Math.Max(bytes, 1) + Alignment - 1) / Alignment * Alignment;
        (Segment segment, int range) = Find(size) ?? (Grow(size, what), 0);
        long offset = segment.Take(range, size);
        UsedBytes += size;
        return new DeviceBlock(this, segment, offset, size);
    }

    /// <summary>Takes back blocks that the garbage collector found; only where no operation is half done, which might still use one.</summary>
    public void Reclaim()
    {
        while (_abandoned.TryDequeue(out DeviceBlock? block)) block.Dispose();
    }

    /// <summary>For the finalizer of a block.</summary>
    public void Abandon(DeviceBlock block) => _abandoned.Enqueue(block);

    /// <summary>Takes a block back.</summary>
    public void Free(Segment segment, long offset, long size)
    {
        if (segment.Memory.IsClosed) return;
        if (KeepFreed)
        {
            _kept.Add((segment, offset, size));
            return;
        }

        segment.Give(offset, size);
        UsedBytes -= size;
        if (segmentBytes == 0) Release(segment);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Segment segment in _segments) segment.Memory.Dispose();
        _segments.Clear();
    }

    private (Segment Segment, int Range)? Find(long size)
    {
        (Segment, int)? best = null;
        long smallest = long.MaxValue;
        foreach (Segment segment in _segments)
        {
            // A small block in a weight's place would keep the next weight out.
            if (segment.Bytes > segmentBytes && size * 2 < segment.Bytes) continue;
            for (int i = 0; i < segment.Free.Count; i++)
            {
                long bytes = segment.Free[i].Bytes;
                if (bytes < size || bytes >= smallest) continue;
                smallest = bytes;
                best = (segment, i);
            }
        }

        return best;
    }

    private Segment Grow(long size, string what)
    {
        long bytes = size * OwnSegmentShare >= segmentBytes ? size : segmentBytes;
        if (!TryGrow(bytes, out Segment? segment))
        {
            stream.Synchronize("making room");
            foreach (Segment unused in _segments.Where(static s => s.IsFree).ToArray()) Release(unused);
            if (!TryGrow(bytes, out segment) && !TryGrow(bytes = size, out segment)) throw OutOfMemory(size, what);
        }

        _segments.Add(segment);
        HeldBytes += bytes;
        PeakBytes = Math.Max(PeakBytes, HeldBytes);
        return segment;
    }

    private bool TryGrow(long bytes, [NotNullWhen(true)] out Segment? segment)
    {
        MemoryHandle? memory = MemoryHandle.TryAllocate(context, bytes);
        segment = memory is null ? null : new Segment(memory, bytes);
        return segment is not null;
    }

    private void Release(Segment segment)
    {
        // The driver frees at once, whatever still works on the memory. A failure is the next call's to report: this may be a Dispose.
        context.MakeCurrent();
        stream.Drain();
        segment.Memory.Dispose();
        _segments.Remove(segment);
        HeldBytes -= segment.Bytes;
    }

    private DeviceException OutOfMemory(long size, string what)
    {
        (long free, long total) = MemoryOfDevice();
        return new DeviceException(
            $"out of device memory: {what} needs {Megabytes(size)}, {Megabytes(free)} of {Megabytes(total)} are free, {Megabytes(UsedBytes)} are in use here: "
            + "take smaller weights (--weights int8 or int4), a smaller key-value cache (--kv int8) or a shorter context")
        {
            IsOutOfMemory = true,
        };

        static string Megabytes(long bytes) => $"{bytes / 1e6:f2} MB";
    }

    private (long Free, long Total) MemoryOfDevice()
    {
        nint free = 0, total = 0;
        context.MakeCurrent();
        context.Driver.ThrowOnError(context.Driver.MemGetInfo(&free, &total), "cuMemGetInfo", "asking for the size of the device's memory");
        return (free, total);
    }

    /// <summary>One allocation of the driver and what of it is free, in order.</summary>
    internal sealed class Segment(MemoryHandle memory, long bytes)
    {
        public MemoryHandle Memory => memory;

        public long Bytes => bytes;

        public List<(long Offset, long Bytes)> Free { get; } = [(0, bytes)];

        public bool IsFree => Free.Count == 1 && Free[0].Bytes == bytes;

        public long Take(int range, long size)
        {
            (long offset, long length) = Free[range];
            if (length == size) Free.RemoveAt(range);
            else Free[range] = (offset + size, length - size);
            return offset;
        }

        public void Give(long offset, long size)
        {
            int next = Free.FindIndex(range => range.Offset > offset);
            if (next < 0) next = Free.Count;
            if (next < Free.Count && offset + size == Free[next].Offset)
            {
                size += Free[next].Bytes;
                Free.RemoveAt(next);
            }

            if (next > 0 && Free[next - 1].Offset + Free[next - 1].Bytes == offset) Free[next - 1] = (Free[next - 1].Offset, Free[next - 1].Bytes + size);
            else Free.Insert(next, (offset, size));
        }
    }
}

/// <summary>A piece of device memory, 256-byte aligned, that goes back to its pool.</summary>
internal sealed class DeviceBlock : IDisposable
{
    private readonly DevicePool _pool;
    private readonly DevicePool.Segment _segment;
    private readonly long _offset;
    private bool _disposed;

    internal DeviceBlock(DevicePool pool, DevicePool.Segment segment, long offset, long bytes)
    {
        _pool = pool;
        _segment = segment;
        _offset = offset;
        Bytes = bytes;
    }

    /// <summary>Gives a forgotten block back as soon as no operation is under way.</summary>
    ~DeviceBlock()
    {
        if (!_disposed) _pool.Abandon(this);
    }

    /// <summary>Size.</summary>
    public long Bytes { get; }

    /// <summary>The first byte on the device.</summary>
    public ulong Address => _disposed ? throw new ObjectDisposedException(nameof(CudaTensor)) : _segment.Memory.Address + (ulong)_offset;

    /// <summary>Back to the pool; work that is queued may still use it.</summary>
    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        _pool.Free(_segment, _offset, Bytes);
        GC.SuppressFinalize(this);
    }
}
