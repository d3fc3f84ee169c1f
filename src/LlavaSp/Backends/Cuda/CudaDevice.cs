using System.Runtime.InteropServices;
using LlavaSp.Backends.Cuda.Driver;

namespace LlavaSp.Backends.Cuda;

/// <summary>
/// One GPU, or the emulator: its context, the one stream of all computation, memory, and copies between host and device. Calls come from one thread at a time,
/// but from any.
/// </summary>
internal sealed unsafe class CudaDevice : IDisposable
{
    private const long SegmentBytes = 32L << 20;

    private readonly StagingRing _staging;
    private readonly int _handle;

    /// <summary>Opens a device.</summary>
    /// <param name="driver">The library.</param>
    /// <param name="index">Number of the device.</param>
    /// <param name="segmentBytes">Segments of the memory pool; null takes what suits the library.</param>
    /// <param name="multiprocessors">SMs that launches are planned for; null asks the device. For the emulator, which runs any plan.</param>
    /// <exception cref="DeviceException">There is no such device.</exception>
    public CudaDevice(CudaDriver driver, int index, long? segmentBytes = null, int? multiprocessors = null)
    {
        Driver = driver;
        int count, handle;
        driver.ThrowOnError(driver.DeviceGetCount(&count), "cuDeviceGetCount", "counting devices");
        if (index < 0 || index >= count) throw new DeviceException($"there is no device {index}: {driver.Path} counts {count}, the first is 0");
        driver.ThrowOnError(driver.DeviceGet(&handle, index), "cuDeviceGet", $"opening device {index}");
        _handle = handle;
        byte* name = stackalloc byte[256];
        driver.ThrowOnError(driver.DeviceGetName(name, 256, handle), "cuDeviceGetName", $"opening device {index}");
        Name = Marshal.PtrToStringUTF8((nint)name)!;
        Multiprocessors = multiprocessors ?? Attribute(DeviceAttribute.MultiprocessorCount);
        MaxSharedBytes = Attribute(DeviceAttribute.MaxSharedMemoryPerBlockOptin);
        ComputeCapability = Attribute(DeviceAttribute.ComputeCapabilityMajor) * 10 + Attribute(DeviceAttribute.ComputeCapabilityMinor);
        Context = new ContextHandle(driver, handle);
        Stream = new StreamHandle(Context);
        Pool = new DevicePool(Context, Stream, segmentBytes ?? (driver.IsEmulator ? 0 : SegmentBytes));
        _staging = new StagingRing(Context, Stream);
    }

    /// <summary>The library.</summary>
    public CudaDriver Driver { get; }

    /// <summary>The device's context.</summary>
    public ContextHandle Context { get; }

    /// <summary>The one stream of all computation.</summary>
    public StreamHandle Stream { get; }

    /// <summary>Device memory.</summary>
    public DevicePool Pool { get; }

    /// <summary>The maker's name.</summary>
    public string Name { get; }

    /// <summary>Number of SMs, by which grids are chosen.</summary>
    public int Multiprocessors { get; }

    /// <summary>Most shared memory of a block, in bytes.</summary>
    public int MaxSharedBytes { get; }

    /// <summary>86 for sm_86.</summary>
    public int ComputeCapability { get; }

    /// <summary>Whether the tensor cores multiply bf16.</summary>
    public bool HasBF16 => ComputeCapability >= 80;

    /// <summary>Throws where <see cref="HasBF16"/> is false.</summary>
    /// <exception cref="DeviceException">The device is too old for bf16.</exception>
    public void RequireBF16()
    {
        if (!HasBF16) throw new DeviceException($"{Name} is sm_{ComputeCapability}, bf16 needs sm_80 or newer: use --weights f16");
    }

    /// <summary>The step that is being recorded: launches go there, and what the step frees stays until it was launched.</summary>
    public StepGraph? Step { get; private set; }

    /// <summary>Where launches are noted instead of made; null outside of <see cref="CudaBackend.Record"/>.</summary>
    public List<RecordedLaunch>? Recorded { get; set; }

    /// <summary>What the driver says of the device.</summary>
    public int Attribute(DeviceAttribute attribute)
    {
        int value;
        Driver.ThrowOnError(Driver.DeviceGetAttribute(&value, attribute, _handle), "cuDeviceGetAttribute", $"asking for {attribute}");
        return value;
    }

    /// <summary>Begins to record.</summary>
    public void BeginStep(StepGraph step)
    {
        Step = step;
        Pool.KeepFreed = true;
    }

    /// <summary>Ends it.</summary>
    public void EndStep()
    {
        Step = null;
        Pool.KeepFreed = false;
    }

    /// <summary>A block of device memory with undefined contents.</summary>
    /// <param name="bytes">Size.</param>
    /// <param name="what">For the message when there is none.</param>
    /// <exception cref="DeviceException">There is no memory for it.</exception>
    public DeviceBlock Allocate(long bytes, string what = "an activation") => Pool.Allocate(bytes, what);

    /// <summary>Copies to the device behind the work that is queued; the source is free when it returns.</summary>
    public void Upload<T>(ulong destination, ReadOnlySpan<T> source)
        where T : unmanaged
    {
        Context.MakeCurrent();
        ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(source);
        while (!bytes.IsEmpty)
        {
            int count = Math.Min(bytes.Length, StagingRing.PieceBytes);
            bytes[..count].CopyTo(_staging.Reserve(count));
            Send(destination, count);
            destination += (ulong)count;
            bytes = bytes[count..];
        }
    }

    /// <summary>Pinned memory for at most <see cref="StagingRing.PieceBytes"/> bytes, for <see cref="Send"/>.</summary>
    public Span<byte> Stage(int bytes)
    {
        Context.MakeCurrent();
        return _staging.Reserve(bytes);
    }

    /// <summary>Copies the first bytes of what was staged last.</summary>
    public void Send(ulong destination, int bytes) => Driver.ThrowOnError(
        Driver.MemcpyHtoDAsync(destination, _staging.Last, bytes, Stream.Value), "cuMemcpyHtoDAsync", "copying to the device");

    /// <summary>Waits for all work and copies at most <see cref="StagingRing.PieceBytes"/> bytes from the device; they stay until the next copy.</summary>
    public ReadOnlySpan<byte> Fetch(ulong source, int bytes)
    {
        if (Step is not null) throw new InvalidOperationException("a step that is being recorded has no results yet");
        Context.MakeCurrent();
        Span<byte> staged = _staging.Reserve(bytes);
        Driver.ThrowOnError(Driver.MemcpyDtoHAsync(_staging.Last, source, bytes, Stream.Value), "cuMemcpyDtoHAsync", "copying from the device");
        Stream.Synchronize("copying from the device");
        return staged;
    }

    /// <summary>Waits for all work and copies from the device.</summary>
    public void Download<T>(Span<T> destination, ulong source)
        where T : unmanaged
    {
        Span<byte> bytes = MemoryMarshal.AsBytes(destination);
        while (!bytes.IsEmpty)
        {
            int count = Math.Min(bytes.Length, StagingRing.PieceBytes);
            Fetch(source, count).CopyTo(bytes);
            source += (ulong)count;
            bytes = bytes[count..];
        }
    }

    /// <summary>Copies inside the device's memory, behind the work that is queued.</summary>
    public void Copy(ulong destination, ulong source, long bytes)
    {
        Context.MakeCurrent();
        Driver.ThrowOnError(Driver.MemcpyDtoDAsync(destination, source, (nint)bytes, Stream.Value), "cuMemcpyDtoDAsync", "copying on the device");
    }

    /// <summary>Fills memory with a 32-bit pattern, behind the work that is queued.</summary>
    public void Fill(ulong destination, uint pattern, long words)
    {
        Context.MakeCurrent();
        Driver.ThrowOnError(Driver.MemsetD32Async(destination, pattern, (nint)words, Stream.Value), "cuMemsetD32Async", "filling memory");
    }

    /// <summary>Waits until all work is done.</summary>
    public void Synchronize()
    {
        Context.MakeCurrent();
        Stream.Synchronize("waiting for the device");
    }

    /// <summary>Queues a kernel with its parameters as one block of memory, which is free when it returns.</summary>
    public void Launch(
        nint function, int gridX, int gridY, int gridZ, int threads, int sharedBytes, void* arguments, nint argumentBytes, string launching)
    {
        // CU_LAUNCH_PARAM_BUFFER_POINTER, CU_LAUNCH_PARAM_BUFFER_SIZE, CU_LAUNCH_PARAM_END.
        void** extra = stackalloc void*[] { (void*)1, arguments, (void*)2, &argumentBytes, null };
        Context.MakeCurrent();
        CudaResult result = Driver.LaunchKernel(
            function, (uint)gridX, (uint)gridY, (uint)gridZ, (uint)threads, 1, 1, (uint)sharedBytes, Stream.Value, null, extra);
        Driver.ThrowOnError(result, "cuLaunchKernel", launching);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // A device that failed cannot be waited for, and its memory is freed all the same.
        if (!Context.IsClosed) Stream.Drain();
        _staging.Dispose();
        Pool.Dispose();
        Stream.Dispose();
        Context.Dispose();
    }
}
