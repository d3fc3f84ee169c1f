using LlavaSp.Backends;
using LlavaSp.TrainDemo.Model;

namespace LlavaSp.TrainDemo.Training;

/// <summary>Which weights a phase changes.</summary>
internal enum Learns
{
    /// <summary>The vision tower, from what each patch shows.</summary>
    Vision,

    /// <summary>All behind the vision tower, from answers, from where heads look and from what hidden states hold.</summary>
    Start,

    /// <summary>Projector and spatial tokens, from answers: the paper's first stage.</summary>
    Between,

    /// <summary>Projector, spatial tokens and the decoder's adapters: the paper's second stage.</summary>
    Adapters,
}

/// <summary>A part of the training.</summary>
/// <param name="Name">Its name in files.</param>
/// <param name="Learns">Which weights change.</param>
/// <param name="Steps">Steps of the optimizer.</param>
/// <param name="Pictures">Pictures of a step.</param>
/// <param name="Rate">Highest learning rate.</param>
/// <param name="FirstScene">First scene of the training split. All variants see the same.</param>
internal sealed record Phase(string Name, Learns Learns, int Steps, int Pictures, double Rate, int FirstScene)
{
    private const double Falls = 0.35, Least = 0.02, MentionsFirst = 0.575;

    /// <summary>Steps over which the rate rises; it stays until the last part, <see cref="Falls"/>, over which it falls in a line.</summary>
    public int WarmUp => Math.Min(200, Steps / 10);

    /// <summary>
    /// Weight decay. More where the decoder learns: it rather finds what all colours or all shapes have in common than each pair of the two.
    /// </summary>
    public double WeightDecay => Learns == Learns.Start ? 0.2 : 0.05;

    /// <summary>
    /// Weight of what nouns, answers and patch tokens are to hold, against the answers' 1: the sum of dozens of tasks, which at first the answers wait for and
    /// later would drown them.
    /// </summary>
    public double MentionWeightAt(int step) => step < MentionsFirst * Steps ? 0.1 : 0.03;

    /// <summary>Whether the loss of the answers counts.</summary>
    public bool Reads => Learns != Learns.Vision;

    /// <summary>Whether the loss of what patches show counts.</summary>
    public bool Sees => Learns == Learns.Vision;

    /// <summary>Whether the decoder is taught where to look and what its hidden states are to hold.</summary>
    public bool Teaches => Learns == Learns.Start;

    /// <summary>Learning rate at a step.</summary>
    public double RateAt(int step)
    {
        if (step < WarmUp) return Rate * (step + 1) / WarmUp;
        double left = (Steps - step) / (Falls * Steps);
        return Rate * Math.Min(1, Least + ((1 - Least) * left));
    }

    /// <summary>Whether it changes a tensor.</summary>
    public bool Changes(string name) => Learns switch
    {
        Learns.Vision => IsVision(name),
        Learns.Start => !IsVision(name),
        _ => name.Contains(".lora_", StringComparison.Ordinal) || IsBetween(name),
    };

    private static bool IsVision(string name) =>
        name.StartsWith(VisionTower.Prefix, StringComparison.Ordinal) || name.StartsWith(Heads.Patches.Prefix, StringComparison.Ordinal);

    /// <summary>Whether a tensor lies between vision tower and decoder: upstream's non_lora_trainables.</summary>
    public static bool IsBetween(string name) =>
        name.StartsWith("model.mm_projector.", StringComparison.Ordinal) || name.StartsWith("model.conv_", StringComparison.Ordinal)
        || name.Contains("y_projector.", StringComparison.Ordinal) || name.StartsWith("model.value_projector.", StringComparison.Ordinal);
}

/// <summary>The phases, and how long each is.</summary>
internal static class Plan
{
    private const int VisionPictures = 16, StartPictures = 4, Pictures = 8;

    /// <summary>The three models.</summary>
    public static IReadOnlyList<SpatialMode?> Variants { get; } = [null, SpatialMode.Pooling, SpatialMode.Cropping];

    /// <summary>What all models begin with: a vision tower, and a projector and a decoder that have learned behind it, without spatial tokens.</summary>
    /// <param name="share">1 for the whole training; less for trying it out.</param>
    public static IReadOnlyList<Phase> Start(double share) =>
    [
        new("vision", Learns.Vision, Scaled(6500, share), VisionPictures, 1.5e-3, 0),
        new("start", Learns.Start, Scaled(8000, share), StartPictures, 1.5e-3, 200_000),
    ];

    /// <summary>The paper's two stages of one variant.</summary>
    public static IReadOnlyList<Phase> Stages(SpatialMode? variant, double share)
    {
        string name = variant?.ToString().ToLowerInvariant() ?? "none";
        return
        [
            new($"{name}-stage1", Learns.Between, Scaled(100, share), Pictures, 1e-3, 300_000),
            new($"{name}-stage2", Learns.Adapters, Scaled(300, share), Pictures, 1e-3, 400_000),
        ];
    }

    private static int Scaled(int steps, double share) => Math.Max(2, (int)(steps * share));
}
