using LlavaSp.Backends.Cpu;

namespace LlavaSp.Cli.Bench;

/// <summary>What this machine can do at best, measured with all threads of the run.</summary>
/// <param name="ReadBytes">Bytes per second read from memory.</param>
/// <param name="Float32">float32 operations per second, multiply-adds counted as two.</param>
/// <param name="Int8">8-bit operations per second of dot products.</param>
/// <param name="InstructionSet">Instruction set that was measured.</param>
internal sealed record Ceilings(double ReadBytes, double Float32, double Int8, string InstructionSet)
{
    private const long BufferBytes = 1L << 30;
    private const int Repeats = 5;

    /// <summary>Measures them; null when the native engine is not there.</summary>
    public static Ceilings? Measure(string? instructionSet, int threads)
    {
        if (!CpuBackend.IsAvailable(out _)) return null;
        using var backend = new CpuBackend(new CpuBackendOptions(instructionSet, threads, true));
        return new Ceilings(
            backend.MeasureReadBandwidth(BufferBytes, Repeats), backend.MeasureFloat32(Repeats), backend.MeasureInt8(Repeats), backend.Info.InstructionSet);
    }
}
