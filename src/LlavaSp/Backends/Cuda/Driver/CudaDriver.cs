using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace LlavaSp.Backends.Cuda.Driver;

/// <summary>
/// The functions of the CUDA driver API that are used, from one library. Function pointers of a loaded library instead of <c>[LibraryImport]</c>: an import
/// binds its name once per process, and one process may drive a GPU and the emulator side by side, with the same functions. Names, parameters and rules are
/// those of NVIDIA's CUDA Driver API manual; device addresses are ulong, handles nint, sizes nint.
/// </summary>
internal sealed unsafe class CudaDriver
{
    public readonly delegate* unmanaged<uint, CudaResult> Init;
    public readonly delegate* unmanaged<int*, CudaResult> DriverGetVersion;
    public readonly delegate* unmanaged<int*, CudaResult> DeviceGetCount;
    public readonly delegate* unmanaged<int*, int, CudaResult> DeviceGet;
    public readonly delegate* unmanaged<byte*, int, int, CudaResult> DeviceGetName;
    public readonly delegate* unmanaged<int*, DeviceAttribute, int, CudaResult> DeviceGetAttribute;
    public readonly delegate* unmanaged<nint*, int, CudaResult> PrimaryCtxRetain;
    public readonly delegate* unmanaged<int, CudaResult> PrimaryCtxRelease;
    public readonly delegate* unmanaged<nint, CudaResult> CtxSetCurrent;
    public readonly delegate* unmanaged<nint*, nint*, CudaResult> MemGetInfo;
    public readonly delegate* unmanaged<ulong*, nint, CudaResult> MemAlloc;
    public readonly delegate* unmanaged<ulong, CudaResult> MemFree;
    public readonly delegate* unmanaged<void**, nint, CudaResult> MemAllocHost;
    public readonly delegate* unmanaged<void*, CudaResult> MemFreeHost;
    public readonly delegate* unmanaged<ulong, void*, nint, nint, CudaResult> MemcpyHtoDAsync;
    public readonly delegate* unmanaged<void*, ulong, nint, nint, CudaResult> MemcpyDtoHAsync;
    public readonly delegate* unmanaged<ulong, ulong, nint, nint, CudaResult> MemcpyDtoDAsync;
    public readonly delegate* unmanaged<ulong, uint, nint, nint, CudaResult> MemsetD32Async;
    public readonly delegate* unmanaged<nint*, void*, CudaResult> ModuleLoadData;
    public readonly delegate* unmanaged<nint, CudaResult> ModuleUnload;
    public readonly delegate* unmanaged<nint*, nint, byte*, CudaResult> ModuleGetFunction;
    public readonly delegate* unmanaged<int*, FunctionAttribute, nint, CudaResult> FuncGetAttribute;
    public readonly delegate* unmanaged<nint, FunctionAttribute, int, CudaResult> FuncSetAttribute;
    public readonly delegate* unmanaged<int*, nint, int, nint, CudaResult> OccupancyMaxActiveBlocksPerMultiprocessor;
    public readonly delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, CudaResult> LaunchKernel;
    public readonly delegate* unmanaged<nint*, uint, CudaResult> StreamCreate;
    public readonly delegate* unmanaged<nint, CudaResult> StreamDestroy;
    public readonly delegate* unmanaged<nint, CudaResult> StreamSynchronize;
    public readonly delegate* unmanaged<nint, nint, uint, CudaResult> StreamWaitEvent;
    public readonly delegate* unmanaged<nint*, uint, CudaResult> EventCreate;
    public readonly delegate* unmanaged<nint, CudaResult> EventDestroy;
    public readonly delegate* unmanaged<nint, nint, CudaResult> EventRecord;
    public readonly delegate* unmanaged<nint, CudaResult> EventSynchronize;
    public readonly delegate* unmanaged<float*, nint, nint, CudaResult> EventElapsedTime;
    public readonly delegate* unmanaged<nint*, uint, CudaResult> GraphCreate;
    public readonly delegate* unmanaged<nint*, nint, nint*, nint, KernelNode*, CudaResult> GraphAddKernelNode;
    public readonly delegate* unmanaged<nint*, nint, ulong, CudaResult> GraphInstantiateWithFlags;
    public readonly delegate* unmanaged<nint, nint, KernelNode*, CudaResult> GraphExecKernelNodeSetParams;
    public readonly delegate* unmanaged<nint, nint, CudaResult> GraphLaunch;
    public readonly delegate* unmanaged<nint, CudaResult> GraphExecDestroy;
    public readonly delegate* unmanaged<nint, CudaResult> GraphDestroy;

    private readonly delegate* unmanaged<CudaResult, byte**, CudaResult> _getErrorName;
    private readonly delegate* unmanaged<CudaResult, byte**, CudaResult> _getErrorString;
    private readonly delegate* unmanaged<byte*> _emulatorLastError;
    private readonly nint _library;

    /// <summary>Takes the functions out of a loaded library.</summary>
    /// <param name="library">Handle of <see cref="NativeLibrary"/>.</param>
    /// <param name="path">Where it was found, for messages.</param>
    /// <exception cref="DeviceException">A function is missing: the driver is older than CUDA 11.4.</exception>
    public CudaDriver(nint library, string path)
    {
        _library = library;
        Path = path;
        Init = (delegate* unmanaged<uint, CudaResult>)Export("cuInit");
        DriverGetVersion = (delegate* unmanaged<int*, CudaResult>)Export("cuDriverGetVersion");
        DeviceGetCount = (delegate* unmanaged<int*, CudaResult>)Export("cuDeviceGetCount");
        DeviceGet = (delegate* unmanaged<int*, int, CudaResult>)Export("cuDeviceGet");
        DeviceGetName = (delegate* unmanaged<byte*, int, int, CudaResult>)Export("cuDeviceGetName");
        DeviceGetAttribute = (delegate* unmanaged<int*, DeviceAttribute, int, CudaResult>)Export("cuDeviceGetAttribute");
        PrimaryCtxRetain = (delegate* unmanaged<nint*, int, CudaResult>)Export("cuDevicePrimaryCtxRetain");
        PrimaryCtxRelease = (delegate* unmanaged<int, CudaResult>)Export("cuDevicePrimaryCtxRelease_v2");
        CtxSetCurrent = (delegate* unmanaged<nint, CudaResult>)Export("cuCtxSetCurrent");
        MemGetInfo = (delegate* unmanaged<nint*, nint*, CudaResult>)Export("cuMemGetInfo_v2");
        MemAlloc = (delegate* unmanaged<ulong*, nint, CudaResult>)Export("cuMemAlloc_v2");
        MemFree = (delegate* unmanaged<ulong, CudaResult>)Export("cuMemFree_v2");
        MemAllocHost = (delegate* unmanaged<void**, nint, CudaResult>)Export("cuMemAllocHost_v2");
        MemFreeHost = (delegate* unmanaged<void*, CudaResult>)Export("cuMemFreeHost");
        MemcpyHtoDAsync = (delegate* unmanaged<ulong, void*, nint, nint, CudaResult>)Export("cuMemcpyHtoDAsync_v2");
        MemcpyDtoHAsync = (delegate* unmanaged<void*, ulong, nint, nint, CudaResult>)Export("cuMemcpyDtoHAsync_v2");
        MemcpyDtoDAsync = (delegate* unmanaged<ulong, ulong, nint, nint, CudaResult>)Export("cuMemcpyDtoDAsync_v2");
        MemsetD32Async = (delegate* unmanaged<ulong, uint, nint, nint, CudaResult>)Export("cuMemsetD32Async");
        ModuleLoadData = (delegate* unmanaged<nint*, void*, CudaResult>)Export("cuModuleLoadData");
        ModuleUnload = (delegate* unmanaged<nint, CudaResult>)Export("cuModuleUnload");
        ModuleGetFunction = (delegate* unmanaged<nint*, nint, byte*, CudaResult>)Export("cuModuleGetFunction");
        FuncGetAttribute = (delegate* unmanaged<int*, FunctionAttribute, nint, CudaResult>)Export("cuFuncGetAttribute");
        FuncSetAttribute = (delegate* unmanaged<nint, FunctionAttribute, int, CudaResult>)Export("cuFuncSetAttribute");
        OccupancyMaxActiveBlocksPerMultiprocessor =
            (delegate* unmanaged<int*, nint, int, nint, CudaResult>)Export("cuOccupancyMaxActiveBlocksPerMultiprocessor");
        LaunchKernel =
            (delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, CudaResult>)Export("cuLaunchKernel");
        StreamCreate = (delegate* unmanaged<nint*, uint, CudaResult>)Export("cuStreamCreate");
        StreamDestroy = (delegate* unmanaged<nint, CudaResult>)Export("cuStreamDestroy_v2");
        StreamSynchronize = (delegate* unmanaged<nint, CudaResult>)Export("cuStreamSynchronize");
        StreamWaitEvent = (delegate* unmanaged<nint, nint, uint, CudaResult>)Export("cuStreamWaitEvent");
        EventCreate = (delegate* unmanaged<nint*, uint, CudaResult>)Export("cuEventCreate");
        EventDestroy = (delegate* unmanaged<nint, CudaResult>)Export("cuEventDestroy_v2");
        EventRecord = (delegate* unmanaged<nint, nint, CudaResult>)Export("cuEventRecord");
        EventSynchronize = (delegate* unmanaged<nint, CudaResult>)Export("cuEventSynchronize");
        EventElapsedTime = (delegate* unmanaged<float*, nint, nint, CudaResult>)Export("cuEventElapsedTime");
        GraphCreate = (delegate* unmanaged<nint*, uint, CudaResult>)Export("cuGraphCreate");
        GraphAddKernelNode = (delegate* unmanaged<nint*, nint, nint*, nint, KernelNode*, CudaResult>)Export("cuGraphAddKernelNode");
        GraphInstantiateWithFlags = (delegate* unmanaged<nint*, nint, ulong, CudaResult>)Export("cuGraphInstantiateWithFlags");
        GraphExecKernelNodeSetParams = (delegate* unmanaged<nint, nint, KernelNode*, CudaResult>)Export("cuGraphExecKernelNodeSetParams");
        GraphLaunch = (delegate* unmanaged<nint, nint, CudaResult>)Export("cuGraphLaunch");
        GraphExecDestroy = (delegate* unmanaged<nint, CudaResult>)Export("cuGraphExecDestroy");
        GraphDestroy = (delegate* unmanaged<nint, CudaResult>)Export("cuGraphDestroy");
        _getErrorName = (delegate* unmanaged<CudaResult, byte**, CudaResult>)Export("cuGetErrorName");
        _getErrorString = (delegate* unmanaged<CudaResult, byte**, CudaResult>)Export("cuGetErrorString");
        if (NativeLibrary.TryGetExport(library, "lspEmulatorLastError", out nint lastError)) _emulatorLastError = (delegate* unmanaged<byte*>)lastError;
    }

    /// <summary>The library's file, or the name under which the system found it.</summary>
    public string Path { get; }

    /// <summary>Whether this is the emulator of this project.</summary>
    public bool IsEmulator => _emulatorLastError != null;

    /// <summary>A function that only the emulator has.</summary>
    /// <exception cref="DeviceException">This is not the emulator, or an older one.</exception>
    public nint EmulatorExport(string name) => NativeLibrary.TryGetExport(_library, name, out nint function)
        ? function
        : throw new DeviceException($"{Path} lacks {name}: build the emulator again");

    /// <summary>Throws when a call failed.</summary>
    /// <param name="result">What it returned.</param>
    /// <param name="call">Its name.</param>
    /// <param name="what">What was being done, without an article: <c>allocating 20 MiB</c>.</param>
    /// <exception cref="DeviceException">The machine cannot do it: no device, no memory, no code for this GPU.</exception>
    /// <exception cref="CudaException">Any other error: a defect of this library, or of the machine.</exception>
    public void ThrowOnError(CudaResult result, string call, string what)
    {
        if (result != CudaResult.Success) Throw(result, call, what);
    }

    /// <summary>CUDA's name and text of a result: <c>CUDA_ERROR_NO_DEVICE (no CUDA-capable device is detected)</c>.</summary>
    public string Describe(CudaResult result)
    {
        byte* name = null, text = null;
        if (_getErrorName(result, &name) != CudaResult.Success || name == null) return $"CUDA error {(int)result}";
        return _getErrorString(result, &text) == CudaResult.Success && text != null
            ? $"{Marshal.PtrToStringUTF8((nint)name)} ({Marshal.PtrToStringUTF8((nint)text)})"
            : Marshal.PtrToStringUTF8((nint)name)!;
    }

    [DoesNotReturn]
    private void Throw(CudaResult result, string call, string what)
    {
        string details = _emulatorLastError == null ? "" : Marshal.PtrToStringUTF8((nint)_emulatorLastError()) ?? "";
        string message = $"{call} failed while {what}: {Describe(result)}{(details.Length > 0 ? $": {details}" : "")}";
        throw result is CudaResult.OutOfMemory or CudaResult.DeviceUnavailable or CudaResult.NoDevice or CudaResult.InvalidDevice or CudaResult.NoBinaryForGpu
            or CudaResult.EccUncorrectable or CudaResult.UnsupportedPtxVersion or CudaResult.SystemNotReady or CudaResult.SystemDriverMismatch
            or CudaResult.CompatNotSupportedOnDevice
            ? new DeviceException(message.ReplaceLineEndings(" "))
            : new CudaException(result, message);
    }

    private nint Export(string name) => NativeLibrary.TryGetExport(_library, name, out nint function)
        ? function
        : throw new DeviceException($"{Path} lacks {name}: a driver for CUDA 11.4 or newer is needed");
}
