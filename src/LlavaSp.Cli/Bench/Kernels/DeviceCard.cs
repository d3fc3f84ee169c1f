using LlavaSp.Backends.Cuda;
using LlavaSp.Backends.Cuda.Driver;

namespace LlavaSp.Cli.Bench.Kernels;

/// <summary>The card that is there, as its driver describes it. Peaks are computed from clocks and widths: drivers know no measured ones.</summary>
internal static class DeviceCard
{
    /// <summary>The device's figures; peaks that cannot be told are 0.</summary>
    public static Card Of(CudaDevice device)
    {
        double clock = device.Attribute(DeviceAttribute.ClockRate) * 1e3;
        // Memory of every kind moves data on both edges of the clock that the driver gives.
        double memory = 2.0 * device.Attribute(DeviceAttribute.MemoryClockRate) * 1e3 * device.Attribute(DeviceAttribute.MemoryBusWidth) / 8;
        int sums = TensorSums(device.ComputeCapability);
        double f16 = 2.0 * sums * device.Multiprocessors * clock;
        return new Card(
            device.Name, $"sm_{device.ComputeCapability}", device.Multiprocessors, memory, HalvesFloatSums(device) ? f16 / 2 : f16, 2 * f16,
            device.Attribute(DeviceAttribute.L2CacheSize), device.Attribute(DeviceAttribute.MaxSharedMemoryPerMultiprocessor),
            device.Attribute(DeviceAttribute.MaxThreadsPerMultiprocessor) / 32, device.Attribute(DeviceAttribute.MaxBlocksPerMultiprocessor));
    }

    /// <summary>How its peaks came about, as one line.</summary>
    public static string Explain(CudaDevice device)
    {
        int megahertz = device.Attribute(DeviceAttribute.ClockRate) / 1000, sums = TensorSums(device.ComputeCapability) / (HalvesFloatSums(device) ? 2 : 1);
        return $"peaks are computed, not measured: memory clock x bus width; {device.Multiprocessors} SMs x {megahertz} MHz x {sums} f16 multiply-adds of an "
            + $"sm_{device.ComputeCapability} SM with float32 sums";
    }

    /// <summary>
    /// Dense f16 multiply-adds of an SM's tensor cores in a clock; those of 8-bit integers are twice as many. From the data sheets: A100 312 TFLOP/s on 108 SMs
    /// at 1.41 GHz, and so on. 0 for what is not known.
    /// </summary>
    internal static int TensorSums(int computeCapability) => computeCapability switch
    {
        75 or 86 or 89 or 120 or 121 => 512,
        80 or 87 => 1024,
        90 => 2048,
        100 or 103 => 4096,
        _ => 0,
    };

    // The maker halves the rate of float32 sums on GeForce cards of these.
    private static bool HalvesFloatSums(CudaDevice device) =>
        device.ComputeCapability is 75 or 86 or 89 or 120 && device.Name.Contains("GeForce", StringComparison.Ordinal);
}
