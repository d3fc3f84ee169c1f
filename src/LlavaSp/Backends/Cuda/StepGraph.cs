using LlavaSp.Backends.Cuda.Driver;

namespace LlavaSp.Backends.Cuda;

/// <summary>
/// The launches of a step that comes again and again, as one CUDA graph. Between <see cref="Begin"/> and <see cref="End"/> launches are noted, not made; at the
/// end the graph is built the first time, and later only told what differs from last time (positions, lengths), then launched as a whole. A step that takes other
/// kernels than the last one is built anew. Allocates nothing once it is built.
/// </summary>
internal sealed unsafe class StepGraph(CudaDevice device) : IStepRecorder
{
    private const int MostArgumentBytes = 256, MostGrid = 65535;

    private Noted[] _launches = new Noted[512];
    private byte[] _arguments = new byte[512 * MostArgumentBytes];
    private GraphHandle? _graph;
    private GraphExecHandle? _executable;
    private int _built;
    private int _count;
    private bool _rebuild;

    /// <summary>Launches of the step that the graph holds.</summary>
    public int Launches => _built;

    /// <summary>Times that the graph was built.</summary>
    public int Builds { get; private set; }

    /// <summary>Launches of the last step that differed from those before.</summary>
    public int Updates { get; private set; }

    /// <inheritdoc/>
    public void Begin()
    {
        if (device.Step is not null) throw new InvalidOperationException("steps are recorded one at a time");
        _count = 0;
        _rebuild = _executable is null;
        device.BeginStep(this);
    }

    /// <inheritdoc/>
    public void End(bool completed)
    {
        try
        {
            if (completed) Run();
            // What was noted of a step that failed is not what the graph holds.
            else Forget();
        }
        finally
        {
            device.EndStep();
        }
    }

    /// <summary>Notes a launch.</summary>
    public void Add(nint function, int gridX, int gridY, int gridZ, int threads, int sharedBytes, ReadOnlySpan<byte> arguments, string launching)
    {
        // The driver would say so, but only when the step is over.
        if (gridX < 1 || gridY is < 1 or > MostGrid || gridZ is < 1 or > MostGrid || arguments.Length > MostArgumentBytes)
            throw new ArgumentException($"{launching}: a grid of {gridX} x {gridY} x {gridZ}, {arguments.Length} bytes of arguments");
        if (_count == _launches.Length)
        {
            Array.Resize(ref _launches, 2 * _count);
            Array.Resize(ref _arguments, _launches.Length * MostArgumentBytes);
        }

        ref Noted launch = ref _launches[_count];
        Span<byte> held = _arguments.AsSpan(_count * MostArgumentBytes, arguments.Length);
        var shape = new Shape(gridX, gridY, gridZ, threads, sharedBytes);
        bool known = _count < _built && launch.Function == function;
        if (!known) _rebuild = true;
        launch.Changed = !known || launch.Shape != shape || !arguments.SequenceEqual(held);
        launch.Function = function;
        launch.Shape = shape;
        launch.ArgumentBytes = arguments.Length;
        launch.Launching = launching;
        arguments.CopyTo(held);
        _count++;
    }

    /// <summary>Makes a graph of launches that were recorded one by one, the first again after the last, for <see cref="Replay"/>.</summary>
    public void Build(ReadOnlySpan<RecordedLaunch> launches, int count)
    {
        device.Context.MakeCurrent();
        Forget();
        _count = 0;
        for (int i = 0; i < count; i++) launches[i % launches.Length].AddTo(this);
        Build();
    }

    /// <summary>Launches the graph as it was built.</summary>
    public void Replay()
    {
        device.Context.MakeCurrent();
        Launch();
    }

    /// <inheritdoc/>
    public void Dispose() => Forget();

    private void Run()
    {
        device.Context.MakeCurrent();
        Updates = 0;
        if (_rebuild || _count != _built)
        {
            Build();
        }
        else
        {
            for (int i = 0; i < _count; i++)
            {
                if (_launches[i].Changed) Update(i);
            }
        }

        if (_count > 0) Launch();
    }

    private void Launch() =>
        device.Driver.ThrowOnError(device.Driver.GraphLaunch(_executable!.Value, device.Stream.Value), "cuGraphLaunch", "launching a recorded step");

    private void Build()
    {
        Forget();
        _graph = new GraphHandle(device.Context);
        nint previous = 0;
        for (int i = 0; i < _count; i++) previous = _launches[i].Node = Append(_graph, i, previous);

        _executable = new GraphExecHandle(device.Context, _graph);
        _built = _count;
        Builds++;
    }

    /// <summary>A node behind the previous one: the launches of a step are a chain, as they are in a stream.</summary>
    private nint Append(GraphHandle graph, int index, nint previous)
    {
        nint node;
        CudaResult result;
        fixed (byte* arguments = &_arguments[index * MostArgumentBytes])
        {
            nint size = _launches[index].ArgumentBytes;
            void** extra = stackalloc void*[] { (void*)1, arguments, (void*)2, &size, null };
            KernelNode parameters = NodeOf(_launches[index], extra);
            result = device.Driver.GraphAddKernelNode(&node, graph.Value, &previous, previous == 0 ? 0 : 1, &parameters);
        }

        device.Driver.ThrowOnError(result, "cuGraphAddKernelNode", _launches[index].Launching);
        return node;
    }

    private void Update(int index)
    {
        CudaResult result;
        fixed (byte* arguments = &_arguments[index * MostArgumentBytes])
        {
            nint size = _launches[index].ArgumentBytes;
            void** extra = stackalloc void*[] { (void*)1, arguments, (void*)2, &size, null };
            KernelNode parameters = NodeOf(_launches[index], extra);
            result = device.Driver.GraphExecKernelNodeSetParams(_executable!.Value, _launches[index].Node, &parameters);
        }

        device.Driver.ThrowOnError(result, "cuGraphExecKernelNodeSetParams", _launches[index].Launching);
        Updates++;
    }

    private static KernelNode NodeOf(in Noted launch, void** extra) => new()
    {
        Function = launch.Function,
        GridX = (uint)launch.Shape.GridX,
        GridY = (uint)launch.Shape.GridY,
        GridZ = (uint)launch.Shape.GridZ,
        BlockX = (uint)launch.Shape.Threads,
        BlockY = 1,
        BlockZ = 1,
        SharedBytes = (uint)launch.Shape.SharedBytes,
        Extra = extra,
    };

    private void Forget()
    {
        _built = 0;
        _executable?.Dispose();
        _executable = null;
        _graph?.Dispose();
        _graph = null;
    }

    private readonly record struct Shape(int GridX, int GridY, int GridZ, int Threads, int SharedBytes);

    private struct Noted
    {
        public nint Node;
        public nint Function;
        public Shape Shape;
        public int ArgumentBytes;
        public string Launching;
        public bool Changed;
    }
}
