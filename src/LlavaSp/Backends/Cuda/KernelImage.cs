using LlavaSp.Backends.Cuda.Driver;

namespace LlavaSp.Backends.Cuda;

/// <summary>The compiled kernels: an embedded fatbin for GPUs; the emulator has its own built in and only wants to be asked for them.</summary>
internal static class KernelImage
{
    private const string Resource = "kernels.fatbin";

    /// <summary>Whether this build has kernels for GPUs.</summary>
    public static bool IsEmbedded => typeof(KernelImage).Assembly.GetManifestResourceInfo(Resource) is not null;

    // Eight letters that ask the emulator for its own kernels.
    private static ReadOnlySpan<byte> EmulatorImage => "LSPEMU01"u8;

    /// <summary>What cuModuleLoadData takes.</summary>
    /// <exception cref="DeviceException">This build has no kernels for GPUs.</exception>
    public static byte[] Load(CudaDriver driver) => driver.IsEmulator
        ? [.. EmulatorImage, 0]
        : Embedded() ?? throw new DeviceException(
            "this build has no kernels for GPUs: run tools/install-cuda, which gets the compiler, and build again; or use --device cpu");

    /// <summary>For the emulator, with the embedded fatbin behind it: kernels must take the same parameters in both.</summary>
    /// <exception cref="DeviceException">This build has no kernels for GPUs.</exception>
    public static byte[] LoadChecked(CudaDriver emulator) =>
        [.. EmulatorImage, .. Embedded() ?? throw new DeviceException($"{emulator.Path}: this build has no kernels to hold against its own")];

    private static byte[]? Embedded()
    {
        using Stream? stream = typeof(KernelImage).Assembly.GetManifestResourceStream(Resource);
        if (stream is null) return null;
        var image = new byte[stream.Length];
        stream.ReadExactly(image);
        return image;
    }
}
