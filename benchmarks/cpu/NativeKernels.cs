using BenchmarkDotNet.Attributes;

namespace LlavaSp.Benchmarks;

/// <summary>Every case as one benchmark; a call is a whole pass, so nothing is inlined away and no overhead of calling counts.</summary>
public class NativeKernels
{
    private readonly List<IDisposable> _owned = [];
    private Action _pass = static () => { };

    /// <summary>Cases that were asked for.</summary>
    public static IReadOnlyList<KernelCase> Chosen { get; set; } = [];

    /// <summary>As BenchmarkDotNet asks for them.</summary>
    public static IEnumerable<KernelCase> Cases => Chosen;

    /// <summary>The case at hand.</summary>
    [ParamsSource(nameof(Cases))]
    public KernelCase Case { get; set; } = null!;

    [GlobalSetup]
    public void Setup() => _pass = Case.Prepare(Machine.Current.Backend, _owned);

    [GlobalCleanup]
    public void Cleanup()
    {
        foreach (IDisposable item in _owned) item.Dispose();
        _owned.Clear();
    }

    [Benchmark]
    public void Pass() => _pass();
}
