namespace LlavaSp.Backends.Cuda.Driver;

/// <summary>CUresult, as far as anybody here looks at it; every other value is named by the driver itself.</summary>
internal enum CudaResult
{
    Success = 0,
    InvalidValue = 1,
    OutOfMemory = 2,
    DeviceUnavailable = 46,
    NoDevice = 100,
    InvalidDevice = 101,
    NoBinaryForGpu = 209,
    EccUncorrectable = 214,
    UnsupportedPtxVersion = 222,
    NotReady = 600,
    SystemNotReady = 802,
    SystemDriverMismatch = 803,
    CompatNotSupportedOnDevice = 804,
}

/// <summary>CUdevice_attribute.</summary>
internal enum DeviceAttribute
{
    MultiprocessorCount = 16,
    ClockRate = 13,
    MemoryClockRate = 36,
    MemoryBusWidth = 37,
    L2CacheSize = 38,
    MaxThreadsPerMultiprocessor = 39,
    ComputeCapabilityMajor = 75,
    ComputeCapabilityMinor = 76,
    MaxSharedMemoryPerMultiprocessor = 81,
    MaxSharedMemoryPerBlockOptin = 97,
    MaxBlocksPerMultiprocessor = 106,
}

/// <summary>CUfunction_attribute.</summary>
internal enum FunctionAttribute
{
    MaxThreadsPerBlock = 0,
    LocalSizeBytes = 3,
    RegisterCount = 4,
    MaxDynamicSharedSizeBytes = 8,
}

/// <summary>CUDA_KERNEL_NODE_PARAMS: a launch as a node of a graph.</summary>
internal unsafe struct KernelNode
{
    public nint Function;
    public uint GridX;
    public uint GridY;
    public uint GridZ;
    public uint BlockX;
    public uint BlockY;
    public uint BlockZ;
    public uint SharedBytes;
    public void** Parameters;
    public void** Extra;
}

/// <summary>
/// A call of the driver that failed through a fault of this library: a wrong argument, an access beyond an allocation. The device is lost to the process.
/// </summary>
internal sealed class CudaException(CudaResult result, string message) : Exception(message)
{
    /// <summary>What the driver returned.</summary>
    public CudaResult Result { get; } = result;
}
