using System.Reflection;
using System.Runtime.InteropServices;

namespace LlavaSp.Backends.Cpu;

/// <summary>Finds libllavasp_cpu: beside the program, in its runtimes folder, then where LLAVA_SP_NATIVE_DIR says.</summary>
internal static class NativeLibraryLocator
{
    /// <summary>Environment variable with the folder to look in last.</summary>
    public const string DirectoryVariable = "LLAVA_SP_NATIVE_DIR";

    private static readonly Lock Gate = new();
    private static nint _handle;

    /// <summary>Name of the file on this platform.</summary>
    public static string FileName =>
        OperatingSystem.IsWindows() ? "llavasp_cpu.dll" : OperatingSystem.IsMacOS() ? "libllavasp_cpu.dylib" : "libllavasp_cpu.so";

    /// <summary>Loads the library if it is not loaded yet and checks that it speaks this version of the ABI.</summary>
    /// <exception cref="DeviceException">It is missing, cannot be loaded, or is of another version.</exception>
    public static void Load()
    {
        lock (Gate)
        {
            if (_handle != 0) return;
            nint handle = Open(Candidates(AppContext.BaseDirectory, Environment.GetEnvironmentVariable(DirectoryVariable)), out string path);
            int version = AbiVersionOf(handle, path);
            if (version != NativeMethods.AbiVersion)
                throw new DeviceException($"{path} has interface version {version}, this program needs {NativeMethods.AbiVersion}: build both from the same sources");
            _handle = handle;
            NativeLibrary.SetDllImportResolver(typeof(NativeLibraryLocator).Assembly, Resolve);
        }
    }

    /// <summary>Whether the library is there.</summary>
    /// <param name="problem">Why not, as one line.</param>
    public static bool TryLoad(out string problem)
    {
        try
        {
            Load();
            problem = "";
            return true;
        }
        catch (DeviceException e)
        {
            problem = e.Message;
            return false;
        }
    }

    /// <summary>Paths to try, in order, for the CPU engine or for another native library of this project.</summary>
    internal static List<string> Candidates(string baseDirectory, string? extraDirectory, string? fileName = null)
    {
        fileName ??= FileName;
        string platform = OperatingSystem.IsWindows() ? "win" : OperatingSystem.IsMacOS() ? "osx" : "linux";
        string architecture = RuntimeInformation.ProcessArchitecture switch
        {
            Architecture.Arm64 => "arm64",
            _ => "x64",
        };
        List<string> paths =
        [
            Path.Combine(baseDirectory, fileName),
            Path.Combine(baseDirectory, "runtimes", $"{platform}-{architecture}", "native", fileName),
        ];
        if (!string.IsNullOrEmpty(extraDirectory)) paths.Add(Path.Combine(extraDirectory, fileName));
        return paths;
    }

    /// <summary>Opens the first of the paths that exists.</summary>
    internal static nint Open(List<string> paths, out string found)
    {
        foreach (string path in paths)
        {
            if (!File.Exists(path)) continue;
            try
            {
                found = path;
                return NativeLibrary.Load(path);
            }
            catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
            {
                throw new DeviceException($"{path} cannot be loaded ({e.Message.ReplaceLineEndings(" ")}): build it again on this machine", e);
            }
        }

        throw new DeviceException(
            $"the native library of the CPU backend was not found (tried {string.Join(", ", paths)}): build it with "
            + $"'cmake -S . -B build && cmake --build build' and set {DirectoryVariable} to build/native, or use --device reference");
    }

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? searchPath) => name == NativeMethods.Library ? _handle : 0;

    private static unsafe int AbiVersionOf(nint handle, string path)
    {
        if (!NativeLibrary.TryGetExport(handle, "lsp_abi_version", out nint function))
            throw new DeviceException($"{path} is not the native library of the CPU backend: it lacks lsp_abi_version");
        return ((delegate* unmanaged<int>)function)();
    }
}
