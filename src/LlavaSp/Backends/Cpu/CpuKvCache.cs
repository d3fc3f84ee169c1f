namespace LlavaSp.Backends.Cpu;

/// <summary>Keys and values in native memory, position after position of a head.</summary>
internal sealed class CpuKvCache : KvCache
{
    private readonly KvCacheHandle _handle;

    public CpuKvCache(KvCacheShape shape) : base(shape)
    {
        if (shape.Layers < 1 || shape.KvHeads < 1 || shape.HeadDim < 2 || shape.HeadDim % 2 != 0 || shape.Capacity < 1)
            throw new ArgumentException($"{shape} is no cache", nameof(shape));
        if (shape.Format is not (KvFormat.F16 or KvFormat.F32))
            throw new ArgumentException("the CPU engine holds keys and values in f16 or f32", nameof(shape));
        shape.RequireHostMemory();
        NativeMethods.Format format = shape.Format == KvFormat.F16 ? NativeMethods.Format.F16 : NativeMethods.Format.F32;
        NativeMethods.Status status = NativeMethods.lsp_kv_cache_create(
            shape.Layers, shape.KvHeads, shape.HeadDim, shape.Capacity, format, out nint cache);
        if (status == NativeMethods.Status.OutOfMemory)
            throw new DeviceException($"out of memory: the key-value cache for {shape.Capacity} positions needs {shape.ByteLength >> 20} MiB; use a shorter context");
        CpuBackend.Check(status);
        _handle = new KvCacheHandle(cache);
    }

    /// <summary>The native cache; valid while this object is reachable and not disposed.</summary>
    public nint Value => _handle.Value;

    protected override void Dispose(bool disposing)
    {
        if (disposing) _handle.Dispose();
        base.Dispose(disposing);
    }
}
