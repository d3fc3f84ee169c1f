using LlavaSp.Backends;
using LlavaSp.Backends.Cpu;
using LlavaSp.Backends.Cuda;
using LlavaSp.Cli.Bench.Kernels;

namespace LlavaSp.Cli.Bench;

/// <summary>What a device can do at best: a processor as measured with all threads of the run, a GPU as computed from its clocks.</summary>
/// <param name="ReadBytes">Bytes per second read from memory.</param>
/// <param name="Floats">Operations per second on <paramref name="FloatType"/>, multiply-adds counted as two.</param>
/// <param name="FloatType">float32, or f16 with float32 sums.</param>
/// <param name="Int8">8-bit operations per second of dot products.</param>
/// <param name="Source">Instruction set that was measured, or architecture that was computed for.</param>
internal sealed record Ceilings(double ReadBytes, double Floats, string FloatType, double Int8, string Source)
{
    /// <summary>Those of the device that options ask for; null where they are not known before it is open (a GPU) or mean nothing (the emulator).</summary>
    public static Ceilings? OfProcessor(DeviceOptions options)
    {
        string[] device = options.Device.Split(':', 2);
        bool gpu = device[0] is "cuda" or "cuda-emulator" || (device[0] == "auto" && CudaBackend.IsAvailable(out _));
        return gpu ? null : Measure(device.Length == 2 ? device[1] : null, options.Threads);
    }

    /// <summary>Those of an open device; null for any but a GPU.</summary>
    public static Ceilings? OfGpu(IBackend backend)
    {
        if (backend is not CudaBackend { Device.Driver.IsEmulator: false } cuda) return null;
        Card card = DeviceCard.Of(cuda.Device);
        return new Ceilings(card.MemoryBytes, card.F16, "f16", card.Int8, $"computed for {card.Architecture}");
    }

    /// <summary>Measures them; null when the native engine is not there.</summary>
    private static Ceilings? Measure(string? instructionSet, int threads)
    {
        if (!CpuBackend.IsAvailable(out _)) return null;
        using var backend = new CpuBackend(new CpuBackendOptions(instructionSet, threads, true));
        CpuCeilings ceilings = backend.MeasureCeilings();
        return new Ceilings(ceilings.ReadBytes, ceilings.Float32, "float32", ceilings.Int8, backend.Info.InstructionSet);
    }
}
