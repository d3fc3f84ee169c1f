namespace LlavaSp.Peers;

/// <summary>Sizes of the model that all peers are measured at: Vicuna 7B with CLIP ViT-L/14 at 336 pixels.</summary>
internal static class Shapes
{
    public const int Hidden = 4096, Inner = 11008, Heads = 32, HeadSize = 128, Vocabulary = 32000, Layers = 32;

    public const int VisionHidden = 1024, VisionInner = 4096, VisionHeads = 16, VisionLayers = 23;

    public const int ImageSize = 336, PatchSize = 14, Patches = 576;

    /// <summary>Positions of the prompt: 576 patches, six spatial tokens, 40 of text.</summary>
    public const int Prompt = 622;

    public const int DecodeTokens = 16;

    /// <summary>Positions for which a cache has room.</summary>
    public const int Context = 1024;

    /// <summary>Threads of every peer.</summary>
    public const int Threads = 2;

    /// <summary>Layers of a rehearsal.</summary>
    public const int QuickLayers = 2;

    /// <summary>Decoder layers that ONNX Runtime computes, in 8 and 4 bits; the rest is extrapolated. Their weights, 1.6 GB, are far larger than the caches of a server.</summary>
    public const int OnnxInt8Layers = 8, OnnxInt4Layers = 16;
}
