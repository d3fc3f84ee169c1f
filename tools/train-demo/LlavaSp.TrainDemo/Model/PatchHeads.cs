using LlavaSp.TrainDemo.Data;
using TorchSharp;
using static TorchSharp.torch;

namespace LlavaSp.TrainDemo.Model;

/// <summary>What patches show, read from their features by one linear for each task: only for training.</summary>
internal static class PatchHeads
{
    /// <summary>Before their names, which no checkpoint has.</summary>
    public const string Prefix = "training.patch_heads.";

    /// <summary>Adds the heads.</summary>
    public static void Add(NamedWeights weights)
    {
        foreach (PatchTask task in Enum.GetValues<PatchTask>())
        {
            weights[$"{Name(task)}.weight"] = randn(PatchLabels.Classes(task), DemoModel.Vision.HiddenSize) * 0.02f;
            weights[$"{Name(task)}.bias"] = zeros(PatchLabels.Classes(task));
        }
    }

    /// <summary>Takes them away.</summary>
    public static void Remove(NamedWeights weights)
    {
        foreach (string name in weights.All.Keys.Where(name => name.StartsWith(Prefix, StringComparison.Ordinal)).ToList()) weights.Remove(name);
    }

    /// <summary>Sum of the tasks' mean cross-entropies.</summary>
    /// <param name="weights">The model.</param>
    /// <param name="features">Patch features [n, patches, width].</param>
    /// <param name="labels">For each task [n * patches].</param>
    public static Tensor Loss(NamedWeights weights, Tensor features, IReadOnlyList<Tensor> labels)
    {
        Tensor flat = features.flatten(0, 1), sum = zeros(1);
        foreach (PatchTask task in Enum.GetValues<PatchTask>())
            sum = sum + nn.functional.cross_entropy(weights.Linear(Name(task), flat), labels[(int)task], ignore_index: PatchLabels.Ignored);
        return sum;
    }

    /// <summary>Share of the patches with an answer that are right, for each task.</summary>
    public static double[] Accuracy(NamedWeights weights, Tensor features, IReadOnlyList<Tensor> labels)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor flat = features.flatten(0, 1);
        return [.. Enum.GetValues<PatchTask>().Select(task =>
        {
            Tensor asked = labels[(int)task].ne(PatchLabels.Ignored);
            Tensor right = weights.Linear(Name(task), flat).argmax(-1).eq(labels[(int)task]).logical_and(asked);
            return right.sum().item<long>() / (double)Math.Max(1, asked.sum().item<long>());
        })];
    }

    private static string Name(PatchTask task) => Prefix + task.ToString().ToLowerInvariant();
}
