using LlavaSp.TrainDemo.Data;
using TorchSharp;
using static TorchSharp.torch;

namespace LlavaSp.TrainDemo.Training;

/// <summary>
/// Some heads of two layers are taught where to look: at nouns in the one, at the answers' words in the other. Without it a small decoder needs many more
/// pictures before it looks at single objects at all.
/// </summary>
internal sealed class GazeLoss
{
    /// <summary>The layer whose heads look at what nouns name: behind one that can gather a noun's adjectives. The next can gather the question.</summary>
    public const int NounLayer = 1;

    // More heads for nouns: all that is asked of an object passes through them.
    private const int AnswerLayer = 3, NounHeads = 3, AnswerHeads = 2;

    private readonly List<Tensor> _losses = [];
    private readonly Batch _batch;
    private readonly long _behind, _firstPatch;

    /// <summary>Takes part in a forward pass.</summary>
    /// <param name="batch">The scenes.</param>
    /// <param name="firstPatch">Position of the first patch token.</param>
    /// <param name="behind">Position of what follows the picture.</param>
    public GazeLoss(Batch batch, long firstPatch, long behind) => (_batch, _firstPatch, _behind) = (batch, firstPatch, behind);

    /// <summary>The mean over the layers; null where nothing was named.</summary>
    public Tensor? Value => _losses.Count == 0 ? null : stack(_losses).mean();

    /// <summary>Sees a layer's queries and keys [n, heads, t, width].</summary>
    public void See(int layer, Tensor queries, Tensor keys)
    {
        if (layer is not (NounLayer or AnswerLayer)) return;
        var gazes = _batch.Examples.SelectMany((example, picture) => example.Questions.Gazes
            .Where(gaze => gaze.Answers == (layer == AnswerLayer) && gaze.Objects.Any(example.Owners.Has))
            .Select(gaze => (Picture: picture, Gaze: gaze))).ToList();
        if (gazes.Count == 0) return;
        int patches = _batch.Examples[0].Owners.Count;
        int heads = layer == NounLayer ? NounHeads : AnswerHeads;
        long places = queries.shape[2] - _behind, width = queries.shape[3];
        Tensor rows = tensor(gazes.Select(gaze => (gaze.Picture * places) + gaze.Gaze.At).ToArray());
        Tensor looking = queries.narrow(1, 0, heads).narrow(2, _behind, places), seen = keys.narrow(1, 0, heads).narrow(2, _firstPatch, patches);
        using Scalar scale = 1 / Math.Sqrt(width);
        // Every place at every patch of its picture is one product; then [m, heads, patches] of the m gazes.
        Tensor scores = matmul(looking, seen.transpose(2, 3)).transpose(1, 2).flatten(0, 1).index_select(0, rows) * scale;
        Tensor shares = nn.functional.log_softmax(scores, -1);
        // What is not to be looked at is taken out of the sum.
        Tensor away = tensor(gazes.SelectMany(gaze => Enumerable.Range(0, patches).Select(
            patch => Array.IndexOf(gaze.Gaze.Objects, _batch.Examples[gaze.Picture].Owners[patch]) >= 0 ? 0f : -1e4f)).ToArray(), [gazes.Count, 1, patches]);
        using Scalar minus = -1;
        // It outlives the pass.
        _losses.Add((logsumexp(shares + away, -1).mean() * minus).MoveToOuterDisposeScope());
    }
}
