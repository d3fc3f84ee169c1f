using System.Runtime.InteropServices;

namespace LlavaSp.Backends.Cuda.Driver;

/// <summary>The primary context of a device, held as long as anything that lives in it.</summary>
internal sealed unsafe class ContextHandle : SafeHandle
{
    private readonly int _device;

    public ContextHandle(CudaDriver driver, int device) : base(0, true)
    {
        Driver = driver;
        _device = device;
        nint context;
        driver.ThrowOnError(driver.PrimaryCtxRetain(&context, device), "cuDevicePrimaryCtxRetain", $"opening device {device}");
        SetHandle(context);
    }

    /// <summary>The library that it belongs to.</summary>
    public CudaDriver Driver { get; }

    public override bool IsInvalid => handle == 0;

    /// <summary>Makes it the context of the calling thread: any thread may call a backend, and the driver looks at the thread's own context.</summary>
    public void MakeCurrent()
    {
        ObjectDisposedException.ThrowIf(IsClosed, typeof(CudaBackend));
        Driver.ThrowOnError(Driver.CtxSetCurrent(handle), "cuCtxSetCurrent", "choosing the context");
    }

    /// <summary>As <see cref="MakeCurrent"/> for the release of what lives in it, which may happen after its own Dispose.</summary>
    public void MakeCurrentForRelease() => Driver.CtxSetCurrent(handle);

    protected override bool ReleaseHandle() => Driver.PrimaryCtxRelease(_device) == CudaResult.Success;
}

/// <summary>Something that lives in a context, which it keeps alive.</summary>
internal abstract class CudaHandle : SafeHandle
{
    private readonly ContextHandle _context;

    protected CudaHandle(ContextHandle context) : base(0, true)
    {
        _context = context;
        context.MakeCurrent();
    }

    public override bool IsInvalid => handle == 0;

    /// <summary>The driver's handle.</summary>
    public nint Value => IsClosed ? throw new ObjectDisposedException(nameof(CudaBackend)) : handle;

    protected CudaDriver Driver => _context.Driver;

    /// <summary>Takes what was created; from now on the context stays.</summary>
    protected void Own(nint created)
    {
        bool added = false;
        _context.DangerousAddRef(ref added);
        SetHandle(created);
    }

    protected sealed override bool ReleaseHandle()
    {
        _context.MakeCurrentForRelease();
        CudaResult result = Release(handle);
        _context.DangerousRelease();
        return result == CudaResult.Success;
    }

    protected abstract CudaResult Release(nint value);
}

/// <summary>Device memory.</summary>
internal sealed unsafe class MemoryHandle : CudaHandle
{
    private MemoryHandle(ContextHandle context) : base(context) { }

    /// <summary>The first byte.</summary>
    public ulong Address => (ulong)Value;

    /// <summary>Allocates; null when there is no memory.</summary>
    public static MemoryHandle? TryAllocate(ContextHandle context, long bytes)
    {
        var memory = new MemoryHandle(context);
        ulong address = 0;
        CudaResult result = context.Driver.MemAlloc(&address, (nint)bytes);
        if (result == CudaResult.Success)
        {
            memory.Own((nint)address);
            return memory;
        }

        if (result != CudaResult.OutOfMemory) context.Driver.ThrowOnError(result, "cuMemAlloc", $"allocating {bytes} bytes");
        return null;
    }

    protected override CudaResult Release(nint value) => Driver.MemFree((ulong)value);
}

/// <summary>Page-locked memory of the host, which the device copies from and to without a detour.</summary>
internal sealed unsafe class PinnedHandle : CudaHandle
{
    public PinnedHandle(ContextHandle context, long bytes) : base(context)
    {
        void* pointer;
        Driver.ThrowOnError(Driver.MemAllocHost(&pointer, (nint)bytes), "cuMemAllocHost", $"allocating {bytes >> 10} KiB of pinned memory");
        Own((nint)pointer);
        Bytes = bytes;
    }

    /// <summary>Size.</summary>
    public long Bytes { get; }

    /// <summary>The first byte.</summary>
    public byte* Pointer => (byte*)Value;

    protected override CudaResult Release(nint value) => Driver.MemFreeHost((void*)value);
}

/// <summary>A queue of work.</summary>
internal sealed unsafe class StreamHandle : CudaHandle
{
    private const uint NonBlocking = 1;

    public StreamHandle(ContextHandle context) : base(context)
    {
        nint stream;
        Driver.ThrowOnError(Driver.StreamCreate(&stream, NonBlocking), "cuStreamCreate", "creating a stream");
        Own(stream);
    }

    /// <summary>Times that the host has waited for all its work.</summary>
    public int Waits { get; private set; }

    /// <summary>Waits on the host until all its work is done.</summary>
    public void Synchronize(string what) => Driver.ThrowOnError(Wait(), "cuStreamSynchronize", what);

    /// <summary>As <see cref="Synchronize"/>, whatever becomes of it: for releases. The next call reports a failure.</summary>
    public void Drain() => Wait();

    /// <summary>Work queued from now on waits for the event.</summary>
    public void Wait(EventHandle handle) => Driver.ThrowOnError(Driver.StreamWaitEvent(Value, handle.Value, 0), "cuStreamWaitEvent", "ordering two streams");

    protected override CudaResult Release(nint value) => Driver.StreamDestroy(value);

    private CudaResult Wait()
    {
        Waits++;
        return Driver.StreamSynchronize(Value);
    }
}

/// <summary>A mark in a stream.</summary>
internal sealed unsafe class EventHandle : CudaHandle
{
    private const uint DisableTiming = 2;

    public EventHandle(ContextHandle context, bool timing = false) : base(context)
    {
        nint created;
        Driver.ThrowOnError(Driver.EventCreate(&created, timing ? 0 : DisableTiming), "cuEventCreate", "creating an event");
        Own(created);
    }

    /// <summary>Marks what the stream holds now.</summary>
    public void Record(StreamHandle stream) => Driver.ThrowOnError(Driver.EventRecord(Value, stream.Value), "cuEventRecord", "recording an event");

    /// <summary>Waits on the host until the work before the last mark is done; returns at once if there was none.</summary>
    public void Synchronize(string what) => Driver.ThrowOnError(Driver.EventSynchronize(Value), "cuEventSynchronize", what);

    /// <summary>Milliseconds between two marks of events that time; both are done.</summary>
    public float MillisecondsSince(EventHandle start)
    {
        float milliseconds;
        Driver.ThrowOnError(Driver.EventElapsedTime(&milliseconds, start.Value, Value), "cuEventElapsedTime", "timing");
        return milliseconds;
    }

    protected override CudaResult Release(nint value) => Driver.EventDestroy(value);
}

/// <summary>A loaded image of kernels.</summary>
internal sealed unsafe class ImageHandle : CudaHandle
{
    public ImageHandle(ContextHandle context, ReadOnlySpan<byte> image) : base(context)
    {
        nint module;
        fixed (byte* data = image) Driver.ThrowOnError(Driver.ModuleLoadData(&module, data), "cuModuleLoadData", "loading the kernels");
        Own(module);
    }

    protected override CudaResult Release(nint value) => Driver.ModuleUnload(value);
}

/// <summary>A graph of launches.</summary>
internal sealed unsafe class GraphHandle : CudaHandle
{
    public GraphHandle(ContextHandle context) : base(context)
    {
        nint graph;
        Driver.ThrowOnError(Driver.GraphCreate(&graph, 0), "cuGraphCreate", "recording a step");
        Own(graph);
    }

    protected override CudaResult Release(nint value) => Driver.GraphDestroy(value);
}

/// <summary>A graph made ready to run.</summary>
internal sealed unsafe class GraphExecHandle : CudaHandle
{
    public GraphExecHandle(ContextHandle context, GraphHandle graph) : base(context)
    {
        nint executable;
        Driver.ThrowOnError(Driver.GraphInstantiateWithFlags(&executable, graph.Value, 0), "cuGraphInstantiateWithFlags", "recording a step");
        Own(executable);
    }

    protected override CudaResult Release(nint value) => Driver.GraphExecDestroy(value);
}
