using LlavaSp.Backends.Cpu;
using LlavaSp.Backends.Cuda;
using LlavaSp.Backends.Reference;

namespace LlavaSp.Backends;

/// <summary>Which device to use.</summary>
/// <param name="Device"><c>auto</c>, <c>cuda</c>, <c>cuda:N</c>, <c>cuda-emulator</c>, <c>cpu</c>, <c>cpu:INSTRUCTION_SET</c> or <c>reference</c>.</param>
/// <param name="Threads">Worker threads; 0 takes every processor the process may use.</param>
/// <param name="Int8Activations">Whether activations are quantised to 8 bits on the fly where weights are integers (faster) or stay float32.</param>
public sealed record DeviceOptions(string Device = "auto", int Threads = 0, bool Int8Activations = true);

/// <summary>Creates backends by name.</summary>
public static class BackendFactory
{
    /// <summary>Creates the backend that was asked for; <c>auto</c> takes the fastest that is there and says so.</summary>
    /// <exception cref="DeviceException">The device or instruction set is unknown or not there.</exception>
    public static IBackend Create(DeviceOptions options)
    {
        if (options.Threads is < 0 or > 1024) throw new DeviceException($"--threads {options.Threads}: give 1 to 1024, or 0 for all processors");
        string[] parts = options.Device.Split(':', 2);
        return parts[0] switch
        {
            "auto" when parts.Length == 1 => Fastest(options),
            "cuda" => new CudaBackend(options),
            "cuda-emulator" when parts.Length == 1 => new CudaBackend(options),
            "cpu" => Cpu(parts.Length == 1 ? null : parts[1], options),
            "reference" when parts.Length == 1 => new ReferenceBackend(),
            _ => throw new DeviceException($"unknown device '{options.Device}': use auto, cuda, cuda:1, cuda-emulator, cpu, cpu:ISA (cpu:scalar; x86: avx2, avxvnni, avx512, avx512vnni, amx; Arm: neon, dotprod, i8mm) or reference"),
        };
    }

    private static IBackend Fastest(DeviceOptions options)
    {
        if (CudaBackend.IsAvailable(out _)) return new CudaBackend(options with { Device = "cuda" });
        return CpuBackend.IsAvailable(out string problem) ? Cpu(null, options) : new ReferenceBackend($"the CPU backend is not there: {problem}");
    }

    private static CpuBackend Cpu(string? instructionSet, DeviceOptions options) =>
        new(new CpuBackendOptions(instructionSet, options.Threads, options.Int8Activations));
}
