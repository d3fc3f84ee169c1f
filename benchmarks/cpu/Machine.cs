using LlavaSp.Backends.Cpu;

namespace LlavaSp.Benchmarks;

/// <summary>The engine under test and what the machine can do at best, measured with it before the first case.</summary>
internal sealed class Machine : IDisposable
{
    public Machine(CpuBackendOptions options)
    {
        Backend = new CpuBackend(options);
        Ceilings = Backend.MeasureCeilings();
    }

    /// <summary>The one of this process: cases run in it, so that all share the engine.</summary>
    public static Machine Current { get; set; } = null!;

    public CpuBackend Backend { get; }

    public CpuCeilings Ceilings { get; }

    public void Dispose() => Backend.Dispose();
}
