using LlavaSp.Backends.Cuda.Driver;

namespace LlavaSp.Backends.Cuda;

/// <summary>The compiled kernels: an embedded fatbin for GPUs; the emulator has its own built in and only wants to be asked for them.</summary>
internal static class KernelImage
{
    private const string Resource = "kernels.fatbin";

    /// <summary>Whether this build has kernels for GPUs.</summary>
    public static bool IsEmbedded => typeof(KernelImage).Assembly.GetManifestResourceInfo(Resource) is not null;

    /// <summary>What cuModuleLoadData takes.</summary>
    /// <exception cref="DeviceException">This build has no kernels for GPUs.</exception>
    public static byte[] Load(CudaDriver driver)
    {
        // Eight letters, and an end for those who read on.
        if (driver.IsEmulator) return [.. "LSPEMU01"u8, .. new byte[8]];
        using Stream? stream = typeof(KernelImage).Assembly.GetManifestResourceStream(Resource);
        if (stream is null)
        {
            throw new DeviceException(
                "this build has no kernels for GPUs: run tools/install-cuda, which gets the compiler, and build again; or use --device cpu");
        }

        var image = new byte[stream.Length];
        stream.ReadExactly(image);
        return image;
    }
}
