using System.Runtime.InteropServices;

namespace LlavaSp.Backends.Cpu;

/// <summary>An engine: threads and kernels.</summary>
internal sealed class EngineHandle : SafeHandle
{
    public EngineHandle(nint engine) : base(0, true) => SetHandle(engine);

    public override bool IsInvalid => handle == 0;

    /// <summary>The engine.</summary>
    public nint Value => IsClosed ? throw new ObjectDisposedException(nameof(CpuBackend)) : handle;

    protected override bool ReleaseHandle()
    {
        NativeMethods.lsp_engine_destroy(handle);
        return true;
    }
}

/// <summary>A packed weight.</summary>
internal sealed class WeightHandle : SafeHandle
{
    public WeightHandle(nint weight) : base(0, true) => SetHandle(weight);

    public override bool IsInvalid => handle == 0;

    /// <summary>The weight.</summary>
    public nint Value => IsClosed ? throw new ObjectDisposedException(nameof(CpuWeight)) : handle;

    protected override bool ReleaseHandle()
    {
        NativeMethods.lsp_weight_destroy(handle);
        return true;
    }
}

/// <summary>A key-value cache.</summary>
internal sealed class KvCacheHandle : SafeHandle
{
    public KvCacheHandle(nint cache) : base(0, true) => SetHandle(cache);

    public override bool IsInvalid => handle == 0;

    /// <summary>The cache.</summary>
    public nint Value => IsClosed ? throw new ObjectDisposedException(nameof(CpuKvCache)) : handle;

    protected override bool ReleaseHandle()
    {
        NativeMethods.lsp_kv_cache_destroy(handle);
        return true;
    }
}

/// <summary>Aligned memory from the native library.</summary>
internal sealed unsafe class NativeBlock : SafeHandle
{
    private readonly long _bytes;

    /// <summary>Allocates memory with undefined contents.</summary>
    /// <exception cref="DeviceException">There is none.</exception>
    public NativeBlock(long bytes) : base(0, true)
    {
        _bytes = bytes;
        SetHandle((nint)NativeMethods.lsp_allocate(bytes));
        if (IsInvalid) throw new DeviceException($"out of memory: {bytes >> 20} MiB more were needed; use smaller weights (--weights int4) or a shorter context");
        GC.AddMemoryPressure(Math.Max(bytes, 1));
    }

    public override bool IsInvalid => handle == 0;

    /// <summary>The first byte.</summary>
    public byte* Pointer => IsClosed ? throw new ObjectDisposedException(nameof(CpuTensor)) : (byte*)handle;

    protected override bool ReleaseHandle()
    {
        NativeMethods.lsp_free((void*)handle, _bytes);
        GC.RemoveMemoryPressure(Math.Max(_bytes, 1));
        return true;
    }
}
