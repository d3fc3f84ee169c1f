using System.Numerics;
using System.Runtime.InteropServices;

namespace LlavaSp.Checkpoints;

/// <summary>
/// Low-rank update of one matrix: W + scale * B A, as peft defines it.
/// </summary>
/// <param name="A">[rank, columns] float32.</param>
/// <param name="B">[rows, rank] float32.</param>
/// <param name="Rank">r.</param>
/// <param name="Columns">Input features.</param>
/// <param name="Scale">alpha / r.</param>
internal sealed record LoraDelta(float[] A, float[] B, int Rank, int Columns, float Scale)
{
    /// <summary>Adds row <paramref name="row"/> of the update to <paramref name="destination"/> [columns].</summary>
    public void AddRow(long row, Span<float> destination)
    {
        ReadOnlySpan<float> b = B.AsSpan(checked((int)(row * Rank)), Rank);
        ref float a = ref MemoryMarshal.GetArrayDataReference(A);
        ref float output = ref MemoryMarshal.GetReference(destination[..Columns]);
        int lanes = Vector<float>.Count, done = 0;
        // Four vectors of columns at a time: the sums stay in registers, and A is read in whole cache lines.
        for (; done <= Columns - 4 * lanes; done += 4 * lanes)
        {
            Vector<float> sum0 = default, sum1 = default, sum2 = default, sum3 = default;
            var at = (nuint)done;
            foreach (float factor in b)
            {
                var broadcast = new Vector<float>(factor);
                sum0 += broadcast * Vector.LoadUnsafe(ref a, at);
                sum1 += broadcast * Vector.LoadUnsafe(ref a, at + (nuint)lanes);
                sum2 += broadcast * Vector.LoadUnsafe(ref a, at + (nuint)(2 * lanes));
                sum3 += broadcast * Vector.LoadUnsafe(ref a, at + (nuint)(3 * lanes));
                at += (nuint)Columns;
            }

            Add(ref output, done, sum0);
            Add(ref output, done + lanes, sum1);
            Add(ref output, done + 2 * lanes, sum2);
            Add(ref output, done + 3 * lanes, sum3);
        }

        for (; done < Columns; done++)
        {
            float sum = 0;
            for (int j = 0; j < Rank; j++) sum += b[j] * A[j * Columns + done];
            destination[done] += Scale * sum;
        }

        void Add(ref float start, int offset, Vector<float> sum) =>
            (Vector.LoadUnsafe(ref start, (nuint)offset) + new Vector<float>(Scale) * sum).StoreUnsafe(ref start, (nuint)offset);
    }
}

/// <summary>A LoRA folder as upstream ships it: adapter_config.json and adapter_model.{safetensors,bin}.</summary>
internal static class LoraAdapter
{
    private const string AName = ".lora_A", BName = ".lora_B";

    /// <summary>Reads every delta, by the canonical name of the matrix that it updates.</summary>
    /// <exception cref="CheckpointException">The adapter uses something that is not a plain LoRA, or is incomplete.</exception>
    public static Dictionary<string, LoraDelta> Load(string configPath, ITensorSource adapter)
    {
        JsonConfig config = JsonConfig.Load(configPath);
        if (config.Text("peft_type") is { } type && type != "LORA") throw Unsupported($"peft_type '{type}'");
        if (config.Bool("fan_in_fan_out", false)) throw Unsupported("fan_in_fan_out");
        if (config.Bool("use_dora", false)) throw Unsupported("use_dora");
        if (config.Text("bias") is { } bias && bias != "none") throw Unsupported($"bias '{bias}'");
        foreach (string pattern in (string[])["rank_pattern", "alpha_pattern"])
        {
            if (config.Object(pattern)?.Element.EnumerateObject().Any() == true) throw Unsupported(pattern);
        }

        int rank = config.Int("r", high: 1 << 14);
        double alpha = config.Positive("lora_alpha");
        var scale = (float)(alpha / (config.Bool("use_rslora", false) ? Math.Sqrt(rank) : rank));

        var deltas = new Dictionary<string, LoraDelta>();
        foreach (string aName in adapter.Tensors.Keys)
        {
            int at = aName.IndexOf(AName, StringComparison.Ordinal);
            if (at < 0)
            {
                if (!aName.Contains(BName, StringComparison.Ordinal))
                    throw new CheckpointException($"{configPath}: the adapter holds '{aName}', which is neither lora_A nor lora_B: only plain LoRA is supported");
                continue;
            }

            string target = NameMap.Canonical(aName[..at]) + ".weight", bName = aName[..at] + BName + aName[(at + AName.Length)..];
            if (!adapter.Tensors.TryGetValue(bName, out TensorInfo? b)) throw new CheckpointException($"{configPath}: the adapter has '{aName}' but no '{bName}'");
            TensorInfo a = adapter.Tensors[aName];
            if (a.Shape.Length != 2 || b.Shape.Length != 2 || a.Shape[0] != rank || b.Shape[1] != rank)
                throw new CheckpointException($"{configPath}: '{aName}' {a.ShapeText} and '{bName}' {b.ShapeText} do not fit rank r = {rank}");
            deltas[target] = new LoraDelta(Floats.Read(adapter, a), Floats.Read(adapter, b), rank, checked((int)a.Shape[1]), scale);
        }

        foreach (string bName in adapter.Tensors.Keys.Where(name => name.Contains(BName, StringComparison.Ordinal)))
        {
            if (!adapter.Tensors.ContainsKey(bName.Replace(BName, AName, StringComparison.Ordinal)))
                throw new CheckpointException($"{configPath}: the adapter has '{bName}' but not its lora_A");
        }

        return deltas.Count > 0 ? deltas : throw new CheckpointException($"{configPath}: the adapter holds no LoRA tensor");

        CheckpointException Unsupported(string what) => new($"{configPath}: {what} is not supported: merge the adapter with peft first");
    }
}
