using LlavaSp.Backends.Cuda;

namespace LlavaSp.Cli.Bench.Kernels;

/// <summary>What a kernel's time cannot fall below.</summary>
internal enum KernelBound
{
    /// <summary>Its bytes at the speed of memory.</summary>
    Memory,

    /// <summary>Its operations at the speed of the tensor cores.</summary>
    Arithmetic,

    /// <summary>The latency of a launch: there is too little to do.</summary>
    Launch,
}

/// <summary>Units that do a kernel's operations.</summary>
internal enum ArithmeticUnit
{
    /// <summary>Ordinary ones: never the bound of a kernel here.</summary>
    Scalar,

    /// <summary>Tensor cores on f16, sums in float32.</summary>
    TensorF16,

    /// <summary>Tensor cores on 8-bit integers.</summary>
    TensorInt8,
}

/// <summary>A product y [m, n] = x [m, k] W^T that other libraries have as well: what a yardstick can be laid against.</summary>
internal sealed record MatrixProduct(int M, int N, int K);

/// <summary>One kernel of the published 7B model at one of its shapes: what it must do at least, and how to launch it.</summary>
/// <param name="Stage">Stage of the graph.</param>
/// <param name="Kernel">Name in the image.</param>
/// <param name="Shape">What it computes, in words and numbers.</param>
/// <param name="Weights">Format of its weights; empty for none.</param>
/// <param name="Batch">Pictures, or sequences.</param>
internal sealed record KernelCase(string Stage, string Kernel, string Shape, string Weights, int Batch)
{
    // Below this a kernel takes less than a microsecond or two on any of the cards.
    private const double BytesOfLaunch = 1.5e6;

    /// <summary>Launches of this kind for each picture, prompt or token; of a batch together.</summary>
    public required double Launches { get; init; }

    /// <summary>Weights and scales once, activations in and out once, keys and values once.</summary>
    public required double MinimumBytes { get; init; }

    /// <summary>Multiplications and additions that the result asks for.</summary>
    public double Operations { get; init; }

    /// <summary>Units that do them.</summary>
    public ArithmeticUnit Unit { get; init; }

    /// <summary>The same as a plain product of matrices; null where there is no equal.</summary>
    public MatrixProduct? Product { get; init; }

    /// <summary>Records the launch on a backend, without making it.</summary>
    public required Func<CudaBackend, PreparedCase> Prepare { get; init; }

    /// <summary>What bounds it: memory only where that is so on every card.</summary>
    public KernelBound Bound
    {
        get
        {
            if (MinimumBytes < BytesOfLaunch) return KernelBound.Launch;
            return Card.All.Any(card => card.ArithmeticSeconds(this) > card.MemorySeconds(this)) ? KernelBound.Arithmetic : KernelBound.Memory;
        }
    }

    /// <summary>One line that no other case has.</summary>
    public string Name => $"{Stage}: {Kernel}, {Shape}{(Weights.Length > 0 ? $", {Weights}" : "")}, batch {Batch}";
}

/// <summary>A case on a device: its memory, and its launch. Several on a backend are disposed together: what their operations freed goes with the first.</summary>
internal sealed class PreparedCase : IDisposable
{
    private readonly CudaBackend _backend;
    private readonly IDisposable?[] _memory;

    /// <summary>Records an operation of the backend and picks the launch of one kernel.</summary>
    /// <param name="backend">The device.</param>
    /// <param name="kernel">Kernel; the operation launches it exactly once.</param>
    /// <param name="operation">What the graph would call.</param>
    /// <param name="memory">What lives as long as the case.</param>
    /// <exception cref="InvalidOperationException">The operation does not launch the kernel: the list of cases is wrong.</exception>
    public PreparedCase(CudaBackend backend, string kernel, Action operation, params IDisposable?[] memory)
    {
        _backend = backend;
        _memory = memory;
        IReadOnlyList<RecordedLaunch> launches = backend.Record(operation);
        RecordedLaunch[] found = [.. launches.Where(launch => launch.Kernel == kernel)];
        if (found.Length == 0)
        {
            Dispose();
            throw new InvalidOperationException($"{kernel} is not among {string.Join(", ", launches.Select(launch => launch.Kernel))}");
        }

        Recorded = found[0];
    }

    /// <summary>Grid, threads and shared memory of the launch.</summary>
    public RecordedLaunch Recorded { get; }

    /// <summary>Queues the kernel once.</summary>
    public void Launch() => Recorded.Launch();

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (IDisposable? memory in _memory) memory?.Dispose();
        _backend.EndRecording();
    }
}
