namespace LlavaSp.Backends.Cuda;

/// <summary>
/// Keys and values in device memory, f16 or int8, in pages of <see cref="PagePositions"/> positions that are allocated when they are first written
/// (kernels/README.md, Key-value cache). One block of memory holds a page of every layer: [layers][keys, values][kvHeads][64 positions, then their scales].
/// Page numbers count, from the first block on, in pages of one layer's keys; every block begins at a whole number of them: one table serves all layers.
/// </summary>
internal sealed class CudaKvCache : KvCache
{
    /// <summary>Positions of a page.</summary>
    public const int PagePositions = 64;

    // Positions of int8 are whole numbers of so many bytes.
    private const int LineUnit = 16;

    private readonly CudaDevice _device;
    private readonly DeviceBlock _table;
    private readonly List<DeviceBlock> _blocks = [];
    private readonly long _pageBytes;
    private readonly List<ulong> _pages = [];
    private ulong _first;

    /// <summary>An empty cache: only the page table is allocated.</summary>
    /// <exception cref="ArgumentException">The shape is no cache, or of a format that the kernels do not have.</exception>
    public CudaKvCache(CudaDevice device, KvCacheShape shape) : base(shape)
    {
        if (shape.Layers < 1 || shape.KvHeads < 1 || shape.HeadDim < 2 || shape.HeadDim % 2 != 0 || shape.Capacity < 1)
            throw new ArgumentException($"{shape} is no cache", nameof(shape));
        if (!Holds(shape.Format)) throw new ArgumentException("this device holds keys and values in f16 or int8", nameof(shape));
        _device = device;
        int padding = shape.Format == KvFormat.Int8 ? (shape.HeadDim + LineUnit - 1) / LineUnit * LineUnit - shape.HeadDim : 0;
        _pageBytes = (long)shape.KvHeads * PagePositions * (shape.BytesOfHead + padding);
        _table = device.Allocate(PagesOf(shape.Capacity) * sizeof(int), "the page table of a key-value cache");
    }

    /// <summary>Whether there are kernels for a format.</summary>
    public static bool Holds(KvFormat format) => format is KvFormat.F16 or KvFormat.Int8;

    /// <summary>The table on the device: page number of each 64 positions, for as many as <see cref="Reserve"/> was asked for.</summary>
    public ulong Pages => _table.Address;

    /// <summary>Positions that have memory.</summary>
    public int Reserved => Math.Min(_blocks.Count * PagePositions, Shape.Capacity);

    /// <summary>Where page 0 of a layer's keys is, or would be.</summary>
    public ulong Keys(int layer) => _first + (ulong)(2L * layer * _pageBytes);

    /// <summary>Where page 0 of a layer's values is, or would be.</summary>
    public ulong Values(int layer) => Keys(layer) + (ulong)_pageBytes;

    /// <summary>
    /// Makes room for the first <paramref name="positions"/> positions; queues the table's new entries behind the work under way. Mostly there is room.
    /// </summary>
    /// <exception cref="DeviceException">There is no memory for them; what was there stays.</exception>
    public void Reserve(int positions)
    {
        if (positions > Shape.Capacity) throw new ArgumentException($"{positions} positions in a cache of {Shape.Capacity}", nameof(positions));
        while (_blocks.Count < PagesOf(positions))
        {
            // The pool knows nothing of pages: room to begin at the next whole one.
            long slack = _blocks.Count == 0 ? 0 : _pageBytes - 1;
            DeviceBlock block = _device.Allocate(2 * Shape.Layers * _pageBytes + slack, $"position {_blocks.Count * PagePositions} of a key-value cache");
            if (_blocks.Count == 0) _first = block.Address;
            long distance = (long)(block.Address - _first), number = distance / _pageBytes;
            if (distance > 0 && distance % _pageBytes != 0) number++;
            _device.Fill(_table.Address + (ulong)_blocks.Count * sizeof(int), (uint)checked((int)number), 1);
            _blocks.Add(block);
            _pages.Add(_first + (ulong)(number * _pageBytes));
        }
    }

    /// <summary>The first positions of another cache over those of this one, whole pages; queued behind the work under way.</summary>
    /// <exception cref="DeviceException">There is no memory for them.</exception>
    public void Take(CudaKvCache source, int positions)
    {
        Shape.RequireCopy(source.Shape, positions);
        if (positions > source.Reserved) throw new ArgumentException($"the source was not written as far as {positions} positions", nameof(positions));
        Reserve(positions);
        for (int page = 0; page < PagesOf(positions); page++) _device.Copy(_pages[page], source._pages[page], 2 * Shape.Layers * _pageBytes);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            foreach (DeviceBlock block in _blocks) block.Dispose();
            _table.Dispose();
        }

        base.Dispose(disposing);
    }

    private static long PagesOf(int positions) => ((long)positions + PagePositions - 1) / PagePositions;
}
