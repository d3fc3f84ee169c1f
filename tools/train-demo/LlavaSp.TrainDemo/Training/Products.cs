using System.Runtime.Intrinsics.X86;
using System.Text;

namespace LlavaSp.TrainDemo.Training;

/// <summary>In which type training multiplies matrices.</summary>
internal static class Products
{
    /// <summary>
    /// Whether bfloat16 is the faster one here. libtorch multiplies float32 by MKL, which keeps its fast kernels for Intel's processors, and bfloat16 by
    /// oneDNN, which uses what every processor has: on Intel's float32 takes half as long, on others twice as long, unless they lack AVX-512, and bfloat16 with it.
    /// Measured with what MKL chooses by itself, not since scripts/torch.sh lets it use the fast kernels everywhere.
    /// </summary>
    public static bool AreBrief { get; } = Vendor() != "GenuineIntel" && Avx512F.IsSupported;

    private static string Vendor()
    {
        if (!X86Base.IsSupported) return "";
        var (_, first, third, second) = X86Base.CpuId(0, 0);
        return Encoding.ASCII.GetString([.. BitConverter.GetBytes(first), .. BitConverter.GetBytes(second), .. BitConverter.GetBytes(third)]);
    }
}
