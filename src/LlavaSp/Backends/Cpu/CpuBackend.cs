using System.Runtime.InteropServices;
using LlavaSp.Quantization;

namespace LlavaSp.Backends.Cpu;

/// <summary>
/// Native SIMD kernels (native/cpu), one set for each instruction set, chosen at run time, on a pool of threads of their own. An operation returns when it is
/// done. Results do not depend on the number of threads.
/// </summary>
public sealed unsafe partial class CpuBackend : IBackend
{
    private readonly EngineHandle _engine;
    private readonly int _int8;

    /// <summary>Loads the native library and starts the threads.</summary>
    /// <exception cref="DeviceException">The library is missing, or the instruction set is unknown or not there.</exception>
    public CpuBackend(CpuBackendOptions options)
    {
        if (options.Threads is < 0 or > 1024) throw new DeviceException($"{options.Threads} threads: give 1 to 1024, or 0 for all processors");
        NativeLibraryLocator.Load();
        int threads = options.Threads == 0 ? Math.Min(Environment.ProcessorCount, 1024) : options.Threads;
        NativeMethods.Status status = NativeMethods.lsp_engine_create(options.InstructionSet, threads, out nint engine);
        switch (status)
        {
            case NativeMethods.Status.UnknownIsa or NativeMethods.Status.UnsupportedIsa:
                string why = status == NativeMethods.Status.UnknownIsa ? "is unknown" : "is not available on this machine";
                throw new DeviceException($"instruction set '{options.InstructionSet}' {why}: use one of {string.Join(", ", InstructionSets())}");
            case NativeMethods.Status.NoThreads:
                throw new DeviceException($"{threads} threads could not be started: give fewer");
        }

        Check(status);
        _engine = new EngineHandle(engine);
        _int8 = options.Int8Activations ? 1 : 0;
        string isa = Text(NativeMethods.lsp_engine_isa(engine));
        string choice = options.InstructionSet is null ? $"best instruction set of this CPU ({isa})" : $"instruction set {isa} was asked for";
        Info = new BackendInfo("cpu", isa, threads, $"{choice}; {threads} thread{(threads == 1 ? "" : "s")}");
    }

    /// <inheritdoc/>
    public BackendInfo Info { get; }

    /// <summary>Instruction sets that this build has and this machine can run, worst first.</summary>
    /// <exception cref="DeviceException">The native library is missing.</exception>
    public static IReadOnlyList<string> InstructionSets()
    {
        NativeLibraryLocator.Load();
        var names = new List<string>();
        for (byte* name; (name = NativeMethods.lsp_isa_available(names.Count)) != null;) names.Add(Text(name));
        return names;
    }

    /// <summary>Whether the native library can be loaded.</summary>
    /// <param name="problem">Why not, as one line.</param>
    public static bool IsAvailable(out string problem) => NativeLibraryLocator.TryLoad(out problem);

    /// <inheritdoc/>
    public Tensor CreateTensor(int rows, int columns, Precision precision = Precision.Full) => CpuTensor.Create(rows, columns);

    /// <inheritdoc/>
    public Weight CreateWeight(WeightSource source, WeightFormat format) => CpuWeight.Create(source, format, Info.Threads);

    /// <inheritdoc/>
    public bool Holds(KvFormat format) => format is KvFormat.F16 or KvFormat.F32;

    /// <inheritdoc/>
    public KvCache CreateKvCache(KvCacheShape shape) => new CpuKvCache(shape);

    /// <inheritdoc/>
    public void CopyCache(KvCache destination, KvCache source, int positions)
    {
        CpuKvCache to = Of(destination), from = Of(source);
        to.Shape.RequireCopy(from.Shape, positions);
        Check(NativeMethods.lsp_kv_cache_copy(to.Value, from.Value, positions));
        Keep(destination, source);
    }

    /// <summary>Best rate at which all threads together read a buffer of <paramref name="bytes"/>, in bytes per second.</summary>
    /// <exception cref="DeviceException">There is no memory for the buffer.</exception>
    public double MeasureReadBandwidth(long bytes, int repeats)
    {
        double seconds = NativeMethods.lsp_bench_read_bandwidth(_engine.Value, bytes, repeats);
        return seconds > 0 ? bytes / seconds : throw new DeviceException($"read bandwidth cannot be measured with {bytes >> 20} MiB: give 1 MiB or more that fit");
    }

    /// <summary>Best rate of float32 multiply-adds in registers, all threads together, in operations per second (two each).</summary>
    public double MeasureFloat32(int repeats) => NativeMethods.lsp_bench_fma(_engine.Value, repeats);

    /// <summary>Best rate of 8-bit dot products in registers, all threads together, in operations per second (a multiply and an add each count).</summary>
    public double MeasureInt8(int repeats) => NativeMethods.lsp_bench_int8_dot(_engine.Value, repeats);

    /// <summary>What this machine can do at best with this instruction set and these threads; takes about a second.</summary>
    /// <exception cref="DeviceException">There is no memory for the buffer of 1 GiB that is read.</exception>
    public CpuCeilings MeasureCeilings()
    {
        const long Bytes = 1L << 30;
        const int Repeats = 5;
        return new CpuCeilings(MeasureReadBandwidth(Bytes, Repeats), MeasureFloat32(Repeats), MeasureInt8(Repeats));
    }

    /// <inheritdoc/>
    public void Dispose() => _engine.Dispose();

    /// <summary>Throws when a native call failed.</summary>
    internal static void Check(NativeMethods.Status status)
    {
        switch (status)
        {
            case NativeMethods.Status.Ok: return;
            case NativeMethods.Status.OutOfMemory: throw new DeviceException("out of memory in the CPU backend: use smaller weights or a shorter context");
            default: throw new InvalidOperationException($"the native library refused a call: {status}");
        }
    }

    private static string Text(byte* text) => Marshal.PtrToStringUTF8((nint)text)!;
}
