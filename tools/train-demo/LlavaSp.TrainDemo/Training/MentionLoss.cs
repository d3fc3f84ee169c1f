using LlavaSp.TrainDemo.Data;
using LlavaSp.TrainDemo.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace LlavaSp.TrainDemo.Training;

/// <summary>
/// What hidden states of the decoder are to hold. Patch tokens behind the first layer: what they show. Nouns, where attention has looked at what they name:
/// how many, and of a single object where it is and what it is like; one layer further also what it is to the object named before. Places that predict an
/// answer's word: the object that it is said of. Answers are then found in the text.
/// </summary>
/// <remarks>
/// What an object is like is read between attention and MLP: there it can only be a sum of what the text says and what the patches show. Behind an MLP, which
/// can learn every pair of the two by heart, those never shown would be missing.
/// </remarks>
internal sealed class MentionLoss(NamedWeights weights, Batch batch, long firstPatch, long behind)
{
    private readonly List<Tensor> _losses = [];

    /// <summary>The loss of all tasks; null before the layers ran.</summary>
    public Tensor? Value => _losses.Count == 0 ? null : stack(_losses).sum();

    /// <summary>Sees the hidden states [n, t, width] that a layer's attention leaves.</summary>
    public void SeeAttended(int layer, Tensor hidden)
    {
        if (layer == GazeLoss.NounLayer) Add(OfMentions(hidden, Heads.Mentions, static mention => mention.Labels));
        else if (layer == GazeLoss.AnswerLayer)
        {
            Add(Loss(hidden, Heads.Answers, [.. batch.Examples.SelectMany((example, picture) => example.Questions.Gazes
                .Where(static gaze => gaze.Answers && gaze.Objects.Length == 1).Select(gaze => (picture, gaze.At, gaze.Labels)))]));
        }
    }

    /// <summary>Sees the hidden states [n, t, width] behind a layer.</summary>
    public void See(int layer, Tensor hidden)
    {
        if (layer == GazeLoss.NounLayer - 1)
        {
            Tensor patches = hidden.narrow(1, firstPatch, behind - firstPatch).flatten(0, 1), normed = Normed(patches);
            Add(Heads.Tokens.Loss(weights, normed, batch.Labels) + Heads.TokenSurroundings.Loss(weights, normed, batch.Around));
        }
        else if (layer == GazeLoss.NounLayer) Add(OfMentions(hidden, Heads.MentionSurroundings, static mention => mention.Around));
        else if (layer == GazeLoss.NounLayer + 1) Add(OfMentions(hidden, Heads.Relations, static mention => mention.Relations));
    }

    // It outlives the pass.
    private void Add(Tensor loss) => _losses.Add(loss.MoveToOuterDisposeScope());

    private Tensor OfMentions<TTask>(Tensor hidden, LabelHeads<TTask> heads, Func<Mention, Label[]> labelsOf) where TTask : struct, Enum =>
        Loss(hidden, heads, [.. batch.Examples.SelectMany((example, picture) => example.Questions.Mentions.Select(mention => (picture, mention.At, labelsOf(mention))))]);

    private Tensor Loss<TTask>(Tensor hidden, LabelHeads<TTask> heads, (int Picture, int At, Label[] Labels)[] asked) where TTask : struct, Enum
    {
        long length = hidden.shape[1];
        Tensor rows = hidden.flatten(0, 1).index_select(0, tensor(asked.Select(one => (one.Picture * length) + behind + one.At).ToArray()));
        return heads.Loss(weights, Normed(rows), [.. Enumerable.Range(0, Enum.GetValues<TTask>().Length).Select(task => asked.Select(one => one.Labels[task]).ToArray())]);
    }

    private static Tensor Normed(Tensor rows)
    {
        using Scalar epsilon = 1e-5;
        return rows * rsqrt((rows * rows).mean([-1], true) + epsilon);
    }
}
