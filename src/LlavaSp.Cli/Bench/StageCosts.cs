using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Generation;
using LlavaSp.Graph;

namespace LlavaSp.Cli.Bench;

/// <summary>What a stage must move and compute, from the shapes alone: the floor that its time is held against.</summary>
/// <param name="Stage">Stage.</param>
/// <param name="Bytes">Weights (and cached keys and values) that it must read at least once.</param>
/// <param name="Operations">Multiplications and additions.</param>
internal sealed record StageCost(Stage Stage, double Bytes, double Operations)
{
    /// <summary>Costs of one picture of one tile, a prefill of <paramref name="prompt"/> positions, and one decode step behind them.</summary>
    public static IReadOnlyList<StageCost> Of(LlavaSpModel model, int prompt)
    {
        ModelCheckpoint checkpoint = model.Checkpoint;
        ImageEncoder encoder = model.Encoder;
        var costs = new List<StageCost> { Vision(encoder, checkpoint.Vision) };
        if (encoder.Spatial is { } spatial) costs.Add(Spatial(spatial, checkpoint));
        costs.Add(new StageCost(Stage.Projector, encoder.Projector.Weights.ByteLength, 2.0 * encoder.Projector.Weights.Elements * encoder.Vision.TokensPerTile));

        DecoderConfig decoder = checkpoint.Decoder;
        StageWeights weights = model.Decoder.Weights;
        double head = (double)decoder.VocabularySize * decoder.HiddenSize, layers = weights.Elements - head;
        double attention = 4.0 * decoder.Layers * decoder.Heads * decoder.HeadDim;
        double kvBytes = new KvCacheShape(decoder.Layers, decoder.KvHeads, decoder.HeadDim, prompt, model.KvFormat).ByteLength;
        // Causal attention sees half of the square on average; only the last row needs logits.
        costs.Add(new StageCost(Stage.Prefill, weights.ByteLength, 2 * layers * prompt + 2 * head + attention * prompt * prompt / 2));
        costs.Add(new StageCost(Stage.Decode, weights.ByteLength + kvBytes, 2.0 * weights.Elements + attention * prompt));
        return costs;
    }

    private static StageCost Vision(ImageEncoder encoder, VisionConfig config)
    {
        double rows = config.Grid * config.Grid + 1.0, layers = encoder.Vision.SelectedLayer;
        return new StageCost(
            Stage.Vision, encoder.Vision.Weights.ByteLength, 2 * encoder.Vision.Weights.Elements * rows + layers * 4 * rows * rows * config.HiddenSize);
    }

    private static StageCost Spatial(SpatialTokens spatial, ModelCheckpoint checkpoint)
    {
        SpatialConfig config = checkpoint.Spatial;
        double channels = checkpoint.Vision.HiddenSize, fusionSide = config.FusionKernelSize == 0
            ? 0
            : (checkpoint.Vision.Grid - config.FusionKernelSize) / SpatialConfig.FusionStride + 1;
        double convolutions = config.KernelSizes.Sum(k => (double)k * k) * channels * config.Width;
        double fusion = fusionSide * fusionSide * config.FusionKernelSize * config.FusionKernelSize * channels * config.Width;
        double projections = fusionSide == 0 ? 0 : (config.Tokens + 2 * fusionSide * fusionSide) * config.Width * (double)config.Width;
        double linear = (double)config.Tokens * checkpoint.Decoder.HiddenSize * config.Width * (fusionSide == 0 ? 1 : 2);
        return new StageCost(Stage.SpatialTokens, spatial.Weights.ByteLength, 2 * (convolutions + fusion + projections + linear));
    }
}
