using LlavaSp.TrainDemo.Data;
using LlavaSp.TrainDemo.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace LlavaSp.TrainDemo.Training;

/// <summary>
/// Behind the layer that looks at what nouns name, a noun's hidden state is to hold what it names: how many, and of a single object where it is and what it
/// is like; one layer further also what it is to the object named before. Answers are then found in the text.
/// </summary>
internal sealed class MentionLoss(NamedWeights weights, Batch batch, long behind)
{
    private readonly List<Tensor> _losses = [];

    /// <summary>The loss of all tasks; null before the layers ran.</summary>
    public Tensor? Value => _losses.Count == 0 ? null : stack(_losses).sum();

    /// <summary>Sees the hidden states [n, t, width] behind a layer.</summary>
    public void See(int layer, Tensor hidden)
    {
        // They outlive the pass.
        if (layer == GazeLoss.NounLayer)
        {
            _losses.Add(Loss(hidden, Heads.Mentions, static mention => mention.Labels).MoveToOuterDisposeScope());
            _losses.Add(Loss(hidden, Heads.MentionSurroundings, static mention => mention.Around).MoveToOuterDisposeScope());
        }
        else if (layer == GazeLoss.NounLayer + 1) _losses.Add(Loss(hidden, Heads.Relations, static mention => mention.Relations).MoveToOuterDisposeScope());
    }

    private Tensor Loss<TTask>(Tensor hidden, LabelHeads<TTask> heads, Func<Mention, Label[]> labelsOf) where TTask : struct, Enum
    {
        long length = hidden.shape[1];
        var mentions = batch.Examples.SelectMany((example, picture) => example.Questions.Mentions
            .Select(mention => (Row: (picture * length) + behind + mention.At, Labels: labelsOf(mention)))).ToList();
        Tensor at = hidden.flatten(0, 1).index_select(0, tensor(mentions.Select(mention => mention.Row).ToArray()));
        using Scalar epsilon = 1e-5;
        Tensor normed = at * rsqrt((at * at).mean([-1], true) + epsilon);
        Label[][] labels = [.. Enumerable.Range(0, Enum.GetValues<TTask>().Length).Select(task => mentions.Select(mention => mention.Labels[task]).ToArray())];
        return heads.Loss(weights, normed, labels);
    }
}
