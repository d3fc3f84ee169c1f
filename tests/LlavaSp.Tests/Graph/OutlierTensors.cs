using System.Runtime.InteropServices;
using LlavaSp.Checkpoints;

namespace LlavaSp.Tests.Graph;

/// <summary>
/// Random float32 tensors of a vision tower with the outliers that trained ones have: biases make a few channels in front of each linear layer
/// <see cref="Size"/> times as large as the others, and the weights that read them are a third of the others.
/// </summary>
/// <param name="layout">Tensors to be made.</param>
/// <param name="planted">Whether outliers are planted; without them it is a tower like any random one.</param>
internal sealed class OutlierTensors(IEnumerable<LayoutTensor> layout, bool planted) : ITensorSource
{
    /// <summary>An outlier, where other elements are about 1.</summary>
    public const float Size = 100;

    private readonly Dictionary<string, float[]> _made = [];
    private readonly Lock _gate = new();

    public IReadOnlyDictionary<string, TensorInfo> Tensors { get; } =
        layout.Where(static t => NameMap.IsVision(t.Name) && t.Need != TensorNeed.Unread).ToDictionary(static t => t.Name, static t => new TensorInfo(t.Name, DType.F32, t.Shape));

    public ReadOnlySpan<byte> GetBytes(string name)
    {
        lock (_gate)
        {
            if (!_made.TryGetValue(name, out float[]? values)) _made.Add(name, values = Make(Tensors[name]));
            return MemoryMarshal.AsBytes<float>(values);
        }
    }

    public void Evict(string name)
    {
        // Small enough to be kept.
    }

    public void Dispose()
    {
    }

    /// <summary>One channel in 128, never at the same place of its group.</summary>
    private static bool IsOutlier(int channel) => channel % 128 == channel / 128 * 29 % 128;

    private float[] Make(TensorInfo info)
    {
        string name = info.Name;
        int columns = (int)info.Shape[^1], count = (int)info.Elements;
        bool matrix = info.Shape.Length > 1, norm = name.Contains("norm", StringComparison.Ordinal) && name.EndsWith("weight", StringComparison.Ordinal);
        int inputs = matrix ? (int)(info.Elements / info.Shape[0]) : 1;
        float[] values = Backends.CpuTesting.Random(count, (int)(name.Aggregate(17u, static (hash, letter) => (hash * 31) + letter) % 1_000_003), matrix ? 1 / MathF.Sqrt(inputs) : 0.1f);
        if (norm)
            foreach (ref float x in values.AsSpan()) x++;
        if (!planted) return values;

        bool reader = new[] { "q_proj.weight", "k_proj.weight", "v_proj.weight", "out_proj.weight", "fc1.weight", "fc2.weight" }.Any(end => name.EndsWith(end, StringComparison.Ordinal));
        bool bias = new[] { "layer_norm1.bias", "layer_norm2.bias", "v_proj.bias", "fc1.bias" }.Any(end => name.EndsWith(end, StringComparison.Ordinal));
        for (int i = 0; i < count; i++)
        {
            if (!IsOutlier(i % columns)) continue;
            if (reader) values[i] /= 3;
            if (bias) values[i] = Size;
        }

        return values;
    }
}
