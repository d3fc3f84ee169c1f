using LlavaSp.TrainDemo.Data;
using LlavaSp.TrainDemo.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace LlavaSp.TrainDemo.Training;

/// <summary>
/// Behind the layer that looks at what nouns name, a noun's hidden state is to hold what it names: how many, and of a single object where it is and what it
/// is like. Answers are then found in the text.
/// </summary>
internal sealed class MentionLoss(NamedWeights weights, Batch batch, long behind)
{
    /// <summary>The loss; null before the layer ran.</summary>
    public Tensor? Value { get; private set; }

    /// <summary>Sees the hidden states [n, t, width] behind a layer.</summary>
    public void See(int layer, Tensor hidden)
    {
        if (layer != GazeLoss.NounLayer) return;
        long length = hidden.shape[1];
        var mentions = batch.Examples.SelectMany((example, picture) => example.Questions.Mentions
            .Select(mention => (Row: (picture * length) + behind + mention.At, mention.Labels))).ToList();
        Tensor at = hidden.flatten(0, 1).index_select(0, tensor(mentions.Select(mention => mention.Row).ToArray()));
        using Scalar epsilon = 1e-5;
        Tensor normed = at * rsqrt((at * at).mean([-1], true) + epsilon);
        Tensor[] labels = [.. Enum.GetValues<MentionTask>().Select(task => tensor(mentions.Select(mention => mention.Labels[(int)task]).ToArray()))];
        // It outlives the pass.
        Value = Heads.Mentions.Loss(weights, normed, labels).MoveToOuterDisposeScope();
    }
}
