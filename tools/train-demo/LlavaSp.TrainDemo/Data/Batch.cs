using LlavaSp.Imaging;
using TorchSharp;
using static TorchSharp.torch;

namespace LlavaSp.TrainDemo.Data;

/// <summary>One scene, ready to learn from.</summary>
/// <param name="Picture">Its picture.</param>
/// <param name="Owners">Which object each patch shows.</param>
/// <param name="Labels">For each <see cref="PatchTask"/> [patches]; empty where patches are not asked.</param>
/// <param name="Around">For each <see cref="SurroundingTask"/>, likewise.</param>
/// <param name="Questions">Its questions.</param>
internal sealed record Example(RgbImage Picture, PatchOwners Owners, Label[][] Labels, Label[][] Around, PackedQuestions Questions);

/// <summary>Several scenes as tensors; n pictures, s the longest list of ids behind the picture.</summary>
internal sealed class Batch
{
    /// <summary>Makes the tensors, in the scope of the caller.</summary>
    /// <param name="examples">The scenes.</param>
    /// <param name="padding">Id behind the end of shorter lists.</param>
    public Batch(IReadOnlyList<Example> examples, long padding)
    {
        Examples = examples;
        int n = examples.Count, side = examples[0].Picture.Width;
        Tensor bytes = empty([n, side, side, 3], ScalarType.Byte);
        for (int i = 0; i < n; i++) examples[i].Picture.Pixels.CopyTo(bytes.bytes.Slice(i * side * side * 3, side * side * 3));
        PreprocessorConfig clip = PreprocessorConfig.ClipDefault(side);
        Tensor mean = tensor(clip.Mean.ToArray(), ScalarType.Float32).view(1, 3, 1, 1), deviation = tensor(clip.Std.ToArray(), ScalarType.Float32).view(1, 3, 1, 1);
        using Scalar white = 255;
        Pictures = (bytes.permute(0, 3, 1, 2).to(ScalarType.Float32).contiguous() / white - mean) / deviation;
        Labels = OfPatches(example => example.Labels);
        Around = OfPatches(example => example.Around);

        int s = examples.Max(example => example.Questions.Ids.Count);
        Ids = Padded(questions => questions.Ids, padding);
        Positions = Padded(questions => questions.Positions, 0);
        Segments = Padded(questions => questions.Segments, -1);

        Label[][] OfPatches(Func<Example, Label[][]> labels) =>
            [.. Enumerable.Range(0, labels(examples[0]).Length).Select(task => examples.SelectMany(example => labels(example)[task]).ToArray())];

        Tensor Padded(Func<PackedQuestions, List<long>> part, long filler) => tensor(
            examples.SelectMany(example => part(example.Questions).Concat(Enumerable.Repeat(filler, s - part(example.Questions).Count))).ToArray(), [n, s]);
    }

    public IReadOnlyList<Example> Examples { get; }

    /// <summary>[n, 3, side, side], normalised as the runtime does.</summary>
    public Tensor Pictures { get; }

    /// <summary>For each <see cref="PatchTask"/> labels [n * patches].</summary>
    public Label[][] Labels { get; }

    /// <summary>The same for each <see cref="SurroundingTask"/>.</summary>
    public Label[][] Around { get; }

    /// <summary>[n, s] each; segment -1 is padding.</summary>
    public Tensor Ids { get; }

    /// <inheritdoc cref="Ids"/>
    public Tensor Positions { get; }

    /// <inheritdoc cref="Ids"/>
    public Tensor Segments { get; }
}
