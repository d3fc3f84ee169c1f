using LlavaSp.Backends;
using LlavaSp.Generation;
using LlavaSp.Imaging;

namespace LlavaSp.Explanation;

/// <summary>What a spatial token reads of a picture.</summary>
/// <param name="Tile">Tile of the picture.</param>
/// <param name="KernelSize">k: side of its convolution.</param>
/// <param name="Mode">Cropping reads the k x k patches in the middle, Pooling the whole tile as k x k averages.</param>
/// <param name="Region">Where that is in the picture.</param>
public sealed record SpatialTokenView(int Tile, int KernelSize, SpatialMode Mode, PictureRegion Region);

/// <summary>Detail fusion of one tile (paper section 3, DFI).</summary>
/// <param name="Tile">Tile of the picture.</param>
/// <param name="Regions">What each position of conv_CM reads, row by row.</param>
/// <param name="Shares">[tokens, positions]: attention of each spatial token over the positions; each row's sum is 1.</param>
public sealed record DetailFusionView(int Tile, IReadOnlyList<PictureRegion> Regions, float[] Shares);

/// <summary>One position that a picture takes in the prompt.</summary>
/// <param name="SpatialToken">Index into <see cref="PictureExplanation.SpatialTokens"/>; -1 for others.</param>
/// <param name="Region">What a patch shows; null for spatial tokens, class tokens and line ends.</param>
public readonly record struct PicturePosition(int SpatialToken, PictureRegion? Region);

/// <summary>A picture of the prompt.</summary>
/// <param name="Width">Width in pixels.</param>
/// <param name="Height">Height in pixels.</param>
/// <param name="First">First of its positions in the prompt.</param>
/// <param name="Positions">What they are.</param>
/// <param name="SpatialTokens">The spatial tokens of all tiles; none for LLaVA without them.</param>
/// <param name="DetailFusion">Of each tile; none but for Cropping.</param>
public sealed record PictureExplanation(
    int Width, int Height, int First, IReadOnlyList<PicturePosition> Positions, IReadOnlyList<SpatialTokenView> SpatialTokens,
    IReadOnlyList<DetailFusionView> DetailFusion);

/// <summary>A word of the answer.</summary>
/// <param name="Text">The word, without space around it.</param>
/// <param name="First">Its first token in the answer.</param>
/// <param name="Count">Its tokens.</param>
public sealed record AnswerWord(string Text, int First, int Count);

/// <summary>An answer, and what it came from.</summary>
/// <param name="Answer">The answer.</param>
/// <param name="Words">Its words.</param>
/// <param name="Pictures">The pictures.</param>
/// <param name="Attention">A row for each token of the answer, its end included: what the position that predicts it attends to.</param>
public sealed record AnswerExplanation(
    GenerationResult Answer, IReadOnlyList<AnswerWord> Words, IReadOnlyList<PictureExplanation> Pictures, AttentionMap Attention)
{
    /// <summary>What a word attends to, averaged over its tokens: shares [positions] that sum to 1.</summary>
    /// <param name="word">The word.</param>
    /// <param name="layer">Decoder layer from 0; null averages over all.</param>
    public float[] AttentionOf(AnswerWord word, int? layer = null)
    {
        ArgumentNullException.ThrowIfNull(word);
        var shares = new float[Attention.Positions];
        for (int token = word.First; token < word.First + word.Count; token++)
        {
            ReadOnlySpan<float> row = layer is { } index ? Attention.Of(index, token) : Attention.Mean(token);
            for (int i = 0; i < shares.Length; i++) shares[i] += row[i] / word.Count;
        }

        return shares;
    }
}
