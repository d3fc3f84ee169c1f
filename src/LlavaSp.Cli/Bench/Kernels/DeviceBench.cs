using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;

namespace LlavaSp.Cli.Bench.Kernels;

/// <summary>Milliseconds of one launch over several batches of launches.</summary>
internal sealed record LaunchTiming(double Median, double Min, double Max);

/// <summary>What the device's clock said of a case.</summary>
/// <param name="Case">The case.</param>
/// <param name="Timing">Milliseconds of a launch.</param>
/// <param name="Launches">Launches of a batch.</param>
/// <param name="Copies">Copies of its memory that the launches take in turn.</param>
/// <param name="Occupancy">Share of an SM's warps that its blocks can fill.</param>
/// <param name="Cublas">Milliseconds of the same product by cuBLAS; null where there is no equal, or no cuBLAS.</param>
internal sealed record DeviceResult(KernelCase Case, LaunchTiming Timing, int Launches, int Copies, double Occupancy, LaunchTiming? Cublas)
{
    /// <summary>Bytes per second, counting what must be moved.</summary>
    public double BytesPerSecond => Case.MinimumBytes / Timing.Median * 1e3;

    /// <summary>Operations per second, counting what the result asks for; NaN where ordinary units do them.</summary>
    public double OperationsPerSecond => Case.Operations > 0 ? Case.Operations / Timing.Median * 1e3 : double.NaN;

    /// <summary>The least time on the card against the time taken; NaN where the card's peak is not known.</summary>
    public double ShareOfPeak(Card card)
    {
        double share = card.FloorSeconds(Case) / Timing.Median * 1e3;
        return double.IsFinite(share) ? share : double.NaN;
    }

    /// <summary>Time of cuBLAS against ours: above 1 we are faster. NaN where there is none.</summary>
    public double CublasRatio => Cublas is null ? double.NaN : Cublas.Median / Timing.Median;
}

/// <summary>
/// Times kernels on a device, by events around batches of launches. A batch is a CUDA graph, as a decode step is: the host takes longer for a launch than many
/// kernels for their work. Launches take copies of their memory in turn, so that a kernel finds in the second-level cache no more than it would in the model.
/// </summary>
/// <param name="backend">The device.</param>
/// <param name="runs">Batches that are timed.</param>
/// <param name="leastMilliseconds">Least time of a batch.</param>
/// <param name="cublas">The yardstick; null for none.</param>
internal sealed class DeviceBench(CudaBackend backend, int runs, double leastMilliseconds = 1, Cublas? cublas = null) : IDisposable
{
    private const int MostLaunches = 4000, MostCopies = 128;

    // What has passed through the cache since a copy was used last, in sizes of the cache.
    private const double CachesBetween = 2;

    private readonly IWorkClock _clock = backend.CreateClock();

    /// <summary>The card.</summary>
    public Card Card { get; } = DeviceCard.Of(backend.Device);

    /// <summary>Times a case.</summary>
    /// <exception cref="DeviceException">There is no memory for it.</exception>
    public DeviceResult Measure(KernelCase kernel)
    {
        int copies = CopiesOf(kernel);
        var prepared = new List<PreparedCase>(copies);
        try
        {
            while (prepared.Count < copies) prepared.Add(kernel.Prepare(backend));
            RecordedLaunch[] launches = [.. prepared.Select(static copy => copy.Recorded)];
            using var graph = new StepGraph(backend.Device);
            (LaunchTiming timing, int count) = Time(copies, count => graph.Build(launches, count), _ => graph.Replay());
            double occupancy = (double)launches[0].BlocksPerMultiprocessor() * launches[0].Threads / (Card.Warps * 32);
            return new DeviceResult(kernel, timing, count, copies, occupancy, Yardstick(kernel, copies));
        }
        finally
        {
            foreach (PreparedCase copy in prepared) copy.Dispose();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _clock.Dispose();

    /// <summary>Enough that the cache has forgotten a copy when its turn comes again; one where a launch alone sees to that, or is too small to matter.</summary>
    internal int CopiesOf(KernelCase kernel)
    {
        double between = CachesBetween * Card.CacheBytes;
        if (kernel.Bound == KernelBound.Launch || kernel.MinimumBytes >= between) return 1;
        double room = Math.Max(1, backend.DeviceBytes / 4 / kernel.MinimumBytes);
        return (int)Math.Min(Math.Min(1 + Math.Ceiling(between / kernel.MinimumBytes), room), MostCopies);
    }

    private LaunchTiming? Yardstick(KernelCase kernel, int copies)
    {
        if (cublas is null || kernel.Weights != "f16" || kernel.Product is not { } product) return null;
        (int m, int n, int k) = (product.M, product.N, product.K);
        List<DeviceBlock> memory = [];
        try
        {
            DeviceBlock x = Halves((long)m * k), y = Halves((long)m * n);
            DeviceBlock[] weights = [.. Enumerable.Range(0, copies).Select(_ => Halves((long)n * k))];
            return Time(copies, static _ => { }, count =>
            {
                backend.Device.Context.MakeCurrent();
                for (int i = 0; i < count; i++) cublas.Product(m, n, k, x.Address, weights[i % copies].Address, y.Address);
            }).Timing;
        }
        finally
        {
            foreach (DeviceBlock block in memory) block.Dispose();
        }

        DeviceBlock Halves(long count)
        {
            DeviceBlock block = backend.Device.Allocate((count * sizeof(ushort) + 3) / 4 * 4, "a matrix for cuBLAS");
            memory.Add(block);
            backend.Device.Fill(block.Address, 0, block.Bytes / 4);
            return block;
        }
    }

    /// <summary>Finds how many launches take long enough, which also warms up, then times as many batches of them as wanted.</summary>
    /// <param name="unit">Launches come in multiples of it.</param>
    /// <param name="prepare">Makes a batch of so many launches ready.</param>
    /// <param name="run">Queues it.</param>
    private (LaunchTiming Timing, int Count) Time(int unit, Action<int> prepare, Action<int> run)
    {
        int count = unit;
        while (true)
        {
            prepare(count);
            Batch();
            double taken = Batch();
            if (taken >= leastMilliseconds || count + unit > MostLaunches) break;
            // A little more than it should take; a batch that was slow for another reason must not hold up the search.
            double wanted = Math.Max(count + unit, count * Math.Min(1.2 * leastMilliseconds / taken, 100));
            count = (int)Math.Min(Math.Ceiling(wanted / unit), MostLaunches / unit) * unit;
        }

        double[] milliseconds = [.. Enumerable.Range(0, runs).Select(_ => Batch() / count).Order()];
        return (new LaunchTiming((milliseconds[(runs - 1) / 2] + milliseconds[runs / 2]) / 2, milliseconds[0], milliseconds[^1]), count);

        double Batch()
        {
            _clock.Mark(0);
            run(count);
            _clock.Mark(1);
            return Math.Max(_clock.Milliseconds(0, 1), 1e-6);
        }
    }
}
