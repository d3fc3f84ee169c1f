using System.Runtime.InteropServices;
using LlavaSp.Checkpoints;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>
/// Random halves for the layers of a model of any size: matrices about N(0, 0.02), biases 0.1, weights of norms 1 +- 0.1, every tensor with numbers of its own. A
/// tensor is made when it is first asked for and given up when it is evicted, so that one of them is held at a time.
/// </summary>
internal sealed unsafe class LayerTensors : ITensorSource
{
    // A prime: the rows of no matrix repeat after few rows.
    private const int Period = 1_000_003;

    private readonly Half[] _numbers = Array.ConvertAll(CpuTesting.Random(Period, 7, 0.02f), static x => (Half)x);
    private readonly Dictionary<string, (nint Address, int Bytes)> _made = [];
    private readonly Lock _gate = new();

    public LayerTensors(IEnumerable<LayoutTensor> layout) =>
        Tensors = layout.Where(static t => t.Need != TensorNeed.Unread).ToDictionary(static t => t.Name, static t => new TensorInfo(t.Name, DType.F16, t.Shape));

    public IReadOnlyDictionary<string, TensorInfo> Tensors { get; }

    public ReadOnlySpan<byte> GetBytes(string name)
    {
        lock (_gate)
        {
            if (!_made.TryGetValue(name, out (nint Address, int Bytes) tensor)) _made.Add(name, tensor = Make(Tensors[name]));
            return new ReadOnlySpan<byte>((void*)tensor.Address, tensor.Bytes);
        }
    }

    public void Evict(string name)
    {
        lock (_gate)
            if (_made.Remove(name, out (nint Address, int Bytes) tensor)) NativeMemory.Free((void*)tensor.Address);
    }

    public void Dispose()
    {
        foreach (string name in _made.Keys.ToArray()) Evict(name);
    }

    private (nint Address, int Bytes) Make(TensorInfo info)
    {
        int bytes = checked((int)info.ByteLength);
        var address = (nint)NativeMemory.Alloc((nuint)bytes);
        var halves = new Span<Half>((void*)address, bytes / sizeof(ushort));
        int at = (int)(info.Name.Aggregate(17u, static (hash, letter) => (hash * 31) + letter) % Period);
        for (Span<Half> rest = halves; !rest.IsEmpty;)
        {
            int count = Math.Min(rest.Length, Period - at);
            _numbers.AsSpan(at, count).CopyTo(rest);
            rest = rest[count..];
            at = 0;
        }

        if (info.Shape.Length == 1)
        {
            bool scale = info.Name.EndsWith("weight", StringComparison.Ordinal);
            foreach (ref Half x in halves) x = (Half)((scale ? 1 : 0) + (5 * (float)x));
        }

        return (address, bytes);
    }
}
