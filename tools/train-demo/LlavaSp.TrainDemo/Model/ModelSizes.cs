namespace LlavaSp.TrainDemo.Model;

/// <summary>Which spatial tokens a model has (paper section 3).</summary>
internal enum SpatialVariant
{
    /// <summary>None: LLaVA-1.5.</summary>
    None,

    /// <summary>SFE over pooled grids.</summary>
    Pooling,

    /// <summary>SFE over cropped grids, and DFI.</summary>
    Cropping,
}

/// <summary>A ViT as CLIP's.</summary>
/// <param name="Side">Side of a picture in pixels.</param>
/// <param name="Patch">Side of a patch in pixels.</param>
/// <param name="Width">Channels.</param>
/// <param name="Inner">Channels inside of the MLP.</param>
/// <param name="Heads">Heads.</param>
/// <param name="Layers">Layers that the checkpoint holds.</param>
/// <param name="SelectLayer">Which of the hidden states are the patch features, from the end: -2 leaves out the last layer.</param>
internal sealed record VisionSizes(int Side, int Patch, int Width, int Inner, int Heads, int Layers, int SelectLayer = -2)
{
    /// <summary>Patches along a side.</summary>
    public int Grid => Side / Patch;

    /// <summary>Layers that run.</summary>
    public int LayersUsed => Layers + 1 + SelectLayer;
}

/// <summary>A Llama.</summary>
/// <param name="Vocabulary">Pieces.</param>
/// <param name="Width">Channels.</param>
/// <param name="Inner">Channels of the gated MLP.</param>
/// <param name="Heads">Heads of queries.</param>
/// <param name="KeyHeads">Heads of keys and values.</param>
/// <param name="Layers">Layers.</param>
/// <param name="NormEpsilon">Of RMSNorm.</param>
/// <param name="RopeTheta">Base of the rotary angles.</param>
internal sealed record DecoderSizes(int Vocabulary, int Width, int Inner, int Heads, int KeyHeads, int Layers, float NormEpsilon = 1e-5f, float RopeTheta = 10000f);

/// <summary>Spatial tokens.</summary>
/// <param name="Variant">Which.</param>
/// <param name="Kernels">Sides of the convolutions, in patches, ascending.</param>
/// <param name="Width">Channels of a convolution's output.</param>
/// <param name="FusionKernel">Side of conv_CM.</param>
internal sealed record SpatialSizes(SpatialVariant Variant, IReadOnlyList<int> Kernels, int Width, int FusionKernel)
{
    /// <summary>Stride of conv_CM (upstream llava_arch.py).</summary>
    public const int FusionStride = 2;
}

/// <summary>Everything that fixes the shapes of a model's tensors.</summary>
internal sealed record ModelSizes(VisionSizes Vision, SpatialSizes Spatial, DecoderSizes Decoder);
