using System.Numerics;
using LlavaSp.TrainDemo.Data;
using TorchSharp;
using static TorchSharp.torch;

namespace LlavaSp.TrainDemo.Model;

/// <summary>What features say, read from them by one linear for each task: only for training.</summary>
/// <typeparam name="TTask">The tasks.</typeparam>
/// <param name="prefix">Before the names of the heads.</param>
/// <param name="width">Of the features.</param>
/// <param name="classes">Classes of a task.</param>
/// <param name="slow">Tasks that take longest to learn and weigh more.</param>
internal sealed class LabelHeads<TTask>(string prefix, int width, Func<TTask, int> classes, params TTask[] slow) where TTask : struct, Enum
{
    private const double Smoothing = 0.1;
    private const float SlowWeight = 3;

    private static readonly TTask[] Tasks = Enum.GetValues<TTask>();

    private readonly string[] _names = [.. Tasks.Select(task => prefix + task.ToString().ToLowerInvariant())];

    /// <summary>Before their names, which no checkpoint has.</summary>
    public string Prefix => prefix;

    /// <summary>Adds the heads.</summary>
    public void Add(NamedWeights weights)
    {
        for (int i = 0; i < Tasks.Length; i++)
        {
            weights[$"{_names[i]}.weight"] = randn(classes(Tasks[i]), width) * 0.02f;
            weights[$"{_names[i]}.bias"] = zeros(classes(Tasks[i]));
        }
    }

    /// <summary>Sum of the tasks' mean cross-entropies, the slow ones weighted; a task that nothing has an answer for adds nothing.</summary>
    /// <param name="weights">The model.</param>
    /// <param name="features">[m, width].</param>
    /// <param name="labels">For each task [m].</param>
    public Tensor Loss(NamedWeights weights, Tensor features, Label[][] labels)
    {
        Tensor sum = zeros(1);
        Tensor[] logits = weights.Linear(_names, features);
        for (int i = 0; i < Tasks.Length; i++)
        {
            int asked = labels[i].Count(static label => label.Class != Label.Ignored);
            using Scalar weight = (Array.IndexOf(slow, Tasks[i]) >= 0 ? SlowWeight : 1) / Math.Max(1, asked);
            sum = sum + (Entropy(logits[i], labels[i]) * weight);
        }

        return sum;
    }

    // Summed over those asked. A part of each target is spread over the classes, of which those never shown there are none.
    private static Tensor Entropy(Tensor logits, Label[] labels)
    {
        Tensor classes = tensor(labels.Select(static label => label.Class).ToArray());
        if (!Array.Exists(labels, static label => label.Never != 0))
            return nn.functional.cross_entropy(logits, classes, ignore_index: Label.Ignored, reduction: nn.Reduction.Sum, label_smoothing: Smoothing);
        long count = logits.shape[1];
        Tensor bits = tensor(Enumerable.Range(0, (int)count).Select(static i => 1L << i).ToArray());
        Tensor never = tensor(labels.Select(static label => label.Never).ToArray()).unsqueeze(1).bitwise_and(bits);
        using Scalar none = 0, least = float.MinValue, smoothing = Smoothing, rest = 1 - Smoothing;
        never = never.ne(none);
        Tensor shares = nn.functional.log_softmax(logits.masked_fill(never, least), -1);
        // [m] each, 0 where nothing is asked.
        Tensor asked = tensor(labels.Select(static label => label.Class == Label.Ignored ? 0f : -1f).ToArray());
        Tensor spread = tensor(labels.Select(label => label.Class == Label.Ignored ? 0f : -1f / (count - BitOperations.PopCount((ulong)label.Never))).ToArray());
        shares = shares.masked_fill(never, none);
        Tensor right = shares.gather(1, classes.clamp_min(none).unsqueeze(1)).squeeze(1);
        return ((right * asked).sum() * rest) + ((shares.sum(-1) * spread).sum() * smoothing);
    }

    /// <summary>Share of those with an answer that are right, for each task.</summary>
    public double[] Accuracy(NamedWeights weights, Tensor features, Label[][] labels)
    {
        using DisposeScope scope = NewDisposeScope();
        using Scalar ignored = Label.Ignored;
        Tensor[] logits = weights.Linear(_names, features);
        return [.. Tasks.Select((_, i) =>
        {
            Tensor classes = tensor(labels[i].Select(static label => label.Class).ToArray()), asked = classes.ne(ignored);
            Tensor right = logits[i].argmax(-1).eq(classes).logical_and(asked);
            return right.sum().item<long>() / (double)Math.Max(1, asked.sum().item<long>());
        })];
    }
}

/// <summary>The heads of the training.</summary>
internal static class Heads
{
    // Before all their names.
    private const string Training = "training.";

    /// <summary>Read patch features.</summary>
    public static LabelHeads<PatchTask> Patches { get; } = new(Training + "patch_heads.", DemoModel.Vision.HiddenSize, PatchLabels.Classes, PatchTask.Shape, PatchTask.Glyph);

    /// <summary>Read patch features, too.</summary>
    public static LabelHeads<SurroundingTask> PatchSurroundings { get; } = new(Training + "patch_heads.around_", DemoModel.Vision.HiddenSize, Surroundings.Classes);

    /// <summary>Read the decoder's hidden states at nouns.</summary>
    public static LabelHeads<MentionTask> Mentions { get; } = new(Training + "mention_heads.", DemoModel.Decoder(1).HiddenSize, Mention.Classes, MentionTask.Count, MentionTask.Mark);

    /// <summary>Read them, too.</summary>
    public static LabelHeads<SurroundingTask> MentionSurroundings { get; } = new(Training + "mention_heads.around_", DemoModel.Decoder(1).HiddenSize, Surroundings.Classes);

    /// <summary>Read them one layer further.</summary>
    public static LabelHeads<RelationTask> Relations { get; } = new(Training + "relation_heads.", DemoModel.Decoder(1).HiddenSize, static _ => 2);

    /// <summary>Read them where the answer's words are predicted.</summary>
    public static LabelHeads<MentionTask> Answers { get; } = new(Training + "answer_heads.", DemoModel.Decoder(1).HiddenSize, Mention.Classes, MentionTask.Mark);

    /// <summary>Read patch tokens in the decoder.</summary>
    public static LabelHeads<PatchTask> Tokens { get; } = new(Training + "token_heads.", DemoModel.Decoder(1).HiddenSize, PatchLabels.Classes, PatchTask.Shape, PatchTask.Glyph);

    /// <summary>Read them, too.</summary>
    public static LabelHeads<SurroundingTask> TokenSurroundings { get; } = new(Training + "token_heads.around_", DemoModel.Decoder(1).HiddenSize, Surroundings.Classes);

    /// <summary>Adds all of them.</summary>
    public static void AddAll(NamedWeights weights)
    {
        Patches.Add(weights);
        PatchSurroundings.Add(weights);
        Mentions.Add(weights);
        MentionSurroundings.Add(weights);
        Relations.Add(weights);
        Answers.Add(weights);
        Tokens.Add(weights);
        TokenSurroundings.Add(weights);
    }

    /// <summary>Takes all away.</summary>
    public static void RemoveAll(NamedWeights weights)
    {
        foreach (string name in weights.All.Keys.Where(static name => name.StartsWith(Training, StringComparison.Ordinal)).ToList()) weights.Remove(name);
    }
}
