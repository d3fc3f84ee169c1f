using LlavaSp.Backends.Cpu;

namespace LlavaSp.Benchmarks;

/// <summary>The engine under test and what the machine can do at best, measured with it before the first case.</summary>
internal sealed class Machine : IDisposable
{
    private const long BufferBytes = 1L << 30;
    private const int Repeats = 5;

    public Machine(CpuBackendOptions options)
    {
        Backend = new CpuBackend(options);
        ReadBytes = Backend.MeasureReadBandwidth(BufferBytes, Repeats);
        Floats = Backend.MeasureFloat32(Repeats);
        Int8 = Backend.MeasureInt8(Repeats);
    }

    /// <summary>The one of this process: cases run in it, so that all share the engine.</summary>
    public static Machine Current { get; set; } = null!;

    public CpuBackend Backend { get; }

    /// <summary>Bytes per second read from memory.</summary>
    public double ReadBytes { get; }

    /// <summary>float32 operations per second.</summary>
    public double Floats { get; }

    /// <summary>8-bit operations per second.</summary>
    public double Int8 { get; }

    public void Dispose() => Backend.Dispose();
}
