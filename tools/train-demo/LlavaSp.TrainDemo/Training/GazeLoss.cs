using LlavaSp.TrainDemo.Data;
using TorchSharp;
using static TorchSharp.torch;

namespace LlavaSp.TrainDemo.Training;

/// <summary>
/// Some heads of two layers are taught where to look: at nouns in the one, at the answers' words in the other. Without it a small decoder needs many more
/// pictures before it looks at single objects at all. Where nothing is as the text says they look at the first token: whether something is there then is
/// whether the product of query and key is large enough, a sum over colour and shape, which holds for combinations never shown.
/// </summary>
internal sealed class GazeLoss
{
    /// <summary>The layer whose heads look at what nouns name: behind one that can gather a noun's adjectives. The next can gather the question.</summary>
    public const int NounLayer = 1;

    /// <summary>The layer whose heads look at what answers are about.</summary>
    public const int AnswerLayer = 3;

    // More heads for nouns: all that is asked of an object passes through them.
    private const int NounHeads = 3, AnswerHeads = 2;

    // As good as minus infinity, which a sum with nothing in it would turn into NaN.
    private const float Out = -1e4f;

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
            .Where(gaze => gaze.Answers == (layer == AnswerLayer) && (gaze.Objects.Length == 0 || gaze.Objects.Any(example.Owners.Has)))
            .Select(gaze => (Picture: picture, Gaze: gaze))).ToList();
        if (gazes.Count == 0) return;
        int patches = _batch.Examples[0].Owners.Count, seen = 1 + patches;
        int heads = layer == NounLayer ? NounHeads : AnswerHeads;
        long places = queries.shape[2] - _behind, width = queries.shape[3];
        Tensor rows = tensor(gazes.Select(gaze => (gaze.Picture * places) + gaze.Gaze.At).ToArray());
        // The first token, then the patches.
        Tensor looking = queries.narrow(1, 0, heads).narrow(2, _behind, places), ofHeads = keys.narrow(1, 0, heads);
        Tensor at = cat([ofHeads.narrow(2, 0, 1), ofHeads.narrow(2, _firstPatch, patches)], 2);
        using Scalar scale = 1 / Math.Sqrt(width);
        // Every place at all of its picture is one product; then [m, heads, seen] of the m gazes.
        Tensor scores = matmul(looking, at.transpose(2, 3)).transpose(1, 2).flatten(0, 1).index_select(0, rows) * scale;
        // What is left out is no choice; what else is not to be looked at is taken out of the sum.
        float[] leftOut = new float[gazes.Count * seen], away = new float[gazes.Count * seen];
        for (int i = 0; i < gazes.Count; i++)
        {
            var (picture, gaze) = gazes[i];
            away[i * seen] = gaze.Objects.Length == 0 ? 0 : Out;
            for (int patch = 0; patch < patches; patch++)
            {
                int owner = _batch.Examples[picture].Owners[patch], place = (i * seen) + 1 + patch;
                away[place] = Array.IndexOf(gaze.Objects, owner) >= 0 ? 0 : Out;
                leftOut[place] = Array.IndexOf(gaze.LeftOut, owner) >= 0 ? Out : 0;
            }
        }

        Tensor shares = nn.functional.log_softmax(scores + tensor(leftOut, [gazes.Count, 1, seen]), -1);
        using Scalar minus = -1;
        // It outlives the pass.
        _losses.Add((logsumexp(shares + tensor(away, [gazes.Count, 1, seen]), -1).mean() * minus).MoveToOuterDisposeScope());
    }
}
