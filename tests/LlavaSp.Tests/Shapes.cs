using LlavaSp.Backends;
using LlavaSp.Checkpoints;

namespace LlavaSp.Tests;

/// <summary>Configs of synthetic checkpoints.</summary>
internal static class Shapes
{
    public static DecoderConfig Decoder(int hidden, int inner, int layers, int heads, int kvHeads, int headDim, int vocabulary) => new()
    {
        HiddenSize = hidden,
        IntermediateSize = inner,
        Layers = layers,
        Heads = heads,
        KvHeads = kvHeads,
        HeadDim = headDim,
        VocabularySize = vocabulary,
        MaxPositions = 2048,
        NormEpsilon = 1e-5f,
        RopeTheta = 10000,
    };

    public static VisionConfig Tower(int hidden, int inner, int layers, int heads) => new()
    {
        ImageSize = 336,
        PatchSize = 14,
        HiddenSize = hidden,
        IntermediateSize = inner,
        Layers = layers,
        Heads = heads,
        NormEpsilon = 1e-5f,
        Activation = Activation.QuickGelu,
    };
}
