using System.Runtime.InteropServices;
using LlavaSp.Backends.Cpu;

namespace LlavaSp.Backends.Cuda.Driver;

/// <summary>Finds and opens the driver's library, or the emulator's, and asks it for devices.</summary>
internal static unsafe class CudaLibrary
{
    /// <summary>Environment variable with the emulator's file; it goes before all other places.</summary>
    public const string EmulatorVariable = "LLAVA_SP_CUDA_EMULATOR";

    private static readonly Lock Gate = new();
    private static CudaDriver? _cuda;
    private static CudaDriver? _emulator;

    /// <summary>Opens the library and initialises it; a library stays loaded for the life of the process.</summary>
    /// <param name="emulator">The emulator instead of NVIDIA's driver.</param>
    /// <exception cref="DeviceException">It is not there, or finds no device: the message says what was found.</exception>
    public static CudaDriver Open(bool emulator)
    {
        lock (Gate)
        {
            ref CudaDriver? opened = ref emulator ? ref _emulator : ref _cuda;
            if (opened is not null) return opened;
            CudaDriver driver = emulator ? LoadEmulator() : LoadDriver();
            CudaResult result = driver.Init(0);
            if (result != CudaResult.Success)
            {
                throw new DeviceException(
                    $"no CUDA device: {driver.Path} was found ({VersionOf(driver)}), cuInit says {driver.Describe(result)}; use --device cpu");
            }

            int count;
            driver.ThrowOnError(driver.DeviceGetCount(&count), "cuDeviceGetCount", "counting devices");
            if (count == 0) throw new DeviceException($"no CUDA device: {driver.Path} was found ({VersionOf(driver)}) and counts none; use --device cpu");
            return opened = driver;
        }
    }

    /// <summary>Highest CUDA version that the driver knows, in words.</summary>
    public static string VersionOf(CudaDriver driver)
    {
        int version;
        return driver.DriverGetVersion(&version) == CudaResult.Success ? $"CUDA {version / 1000}.{version % 1000 / 10}" : "of unknown version";
    }

    private static CudaDriver LoadDriver()
    {
        string name = OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1";
        return NativeLibrary.TryLoad(name, out nint handle)
            ? new CudaDriver(handle, PathOf(name))
            : throw new DeviceException($"no CUDA device: the driver's library {name} was not found; install NVIDIA's driver or use --device cpu");
    }

    /// <summary>Where the system found a loaded library, if it says so.</summary>
    private static string PathOf(string name)
    {
        const string Maps = "/proc/self/maps";
        if (!OperatingSystem.IsLinux() || !File.Exists(Maps)) return name;
        string? line = File.ReadLines(Maps).FirstOrDefault(static line => line.Contains("/libcuda.so", StringComparison.Ordinal));
        return line is null ? name : line[line.IndexOf('/', StringComparison.Ordinal)..];
    }

    private static CudaDriver LoadEmulator()
    {
        string? given = Environment.GetEnvironmentVariable(EmulatorVariable);
        List<string> paths = NativeLibraryLocator.Candidates(
            AppContext.BaseDirectory, Environment.GetEnvironmentVariable(NativeLibraryLocator.DirectoryVariable), "libcuda-emulator.so");
        if (!string.IsNullOrEmpty(given)) paths = [given];
        if (!paths.Exists(File.Exists))
        {
            throw new DeviceException(
                $"the CUDA emulator was not found (tried {string.Join(", ", paths)}): build it with 'cmake -S . -B build/cmake && cmake --build build/cmake' "
                + $"and build the tool again, or set {EmulatorVariable} to its file");
        }

        return new CudaDriver(NativeLibraryLocator.Open(paths, out string found), found);
    }
}
