using LlavaSp.Backends;
using LlavaSp.Imaging;

namespace LlavaSp.Checkpoints;

/// <summary>Models of published sizes with random weights in memory: for measuring, and as a checkpoint that needs no files.</summary>
public static class SyntheticModel
{
    private const string Tiny = "tiny", Small = "llava-sp-7b", Large = "llava-sp-13b", Baseline = "llava-1.5-7b";

    private const int Seed = 2507;

    private static readonly int[] KernelSizes = [4, 8, 12, 16, 20, 24];

    /// <summary>Shapes that <see cref="Create(string, SpatialMode?, int?)"/> knows.</summary>
    public static IReadOnlyList<string> Shapes { get; } = [Small, Large, Baseline, Tiny];

    /// <summary>The variant that a shape has when none is asked for: Pooling, or none for the baseline.</summary>
    public static SpatialMode? DefaultVariant(string shape) => shape == Baseline ? null : SpatialMode.Pooling;

    /// <summary>
    /// A checkpoint without files: tensors under canonical names, random halves. <c>llava-sp-7b</c> and <c>llava-sp-13b</c> have the published sizes
    /// (Vicuna with CLIP ViT-L/14 at 336 pixels, convolutions 512 wide), <c>llava-1.5-7b</c> no spatial tokens, <c>tiny</c> the sizes of the goldens.
    /// </summary>
    /// <param name="shape">One of <see cref="Shapes"/>.</param>
    /// <param name="variant">Spatial tokens; null for none.</param>
    /// <param name="decoderLayers">Decoder layers, where there shall be fewer than published; null for all.</param>
    /// <exception cref="LlavaSpException">The shape is unknown, or does not have this variant or so many layers.</exception>
    public static ModelCheckpoint Create(string shape, SpatialMode? variant, int? decoderLayers = null) => Create(shape, variant, decoderLayers, null);

    /// <summary>As above, also with fewer layers of the vision tower than published.</summary>
    internal static ModelCheckpoint Create(string shape, SpatialMode? variant, int? decoderLayers, int? visionLayers)
    {
        if (shape == Baseline && variant is not null)
            throw new LlavaSpException($"{Baseline} has no spatial tokens: use {Small} for the {variant.ToString()!.ToLowerInvariant()} variant");
        int Layers(int published) => decoderLayers is not { } count ? published
            : count >= 1 && count <= published ? count
            : throw new LlavaSpException($"{shape} has {published} decoder layers: {count} cannot be taken of them");
        return shape switch
        {
            Small or Baseline => Build(shape, Decoder(4096, 11008, Layers(32), 32, 32000), LargeTower(visionLayers), variant, 512, 16),
            Large => Build(shape, Decoder(5120, 13824, Layers(40), 40, 32000), LargeTower(visionLayers), variant, 512, 16),
            Tiny => Build(shape, Decoder(64, 176, Layers(3), 4, 512), Tower(32, 64, 4, 4), variant, 16, 16),
            _ => throw new LlavaSpException($"unknown shape '{shape}': use {string.Join(", ", Shapes)}"),
        };
    }

    /// <summary>A checkpoint of any sizes.</summary>
    internal static ModelCheckpoint Build(
        string name, DecoderConfig decoder, VisionConfig vision, SpatialMode? variant, int spatialWidth, int fusionKernel)
    {
        bool cropping = variant == SpatialMode.Cropping;
        var spatial = new SpatialConfig(
            variant, variant is null ? [] : KernelSizes, variant is null ? 0 : spatialWidth, cropping ? fusionKernel : 0, "synthetic");
        // Upstream pools by a module before the convolution, where there is something to pool.
        string KernelName(int k) => cropping || k == vision.Grid ? $"conv_{k}.weight" : $"conv_{k}.1.weight";
        var shapes = ModelLayout.Of(decoder, vision, Multimodal, spatial, KernelName)
            .Where(tensor => tensor.Need == TensorNeed.Required || HasOptional(tensor.Name, cropping)).Select(tensor => (tensor.Name, tensor.Shape));
        var catalog = new TensorCatalog();
        catalog.Add(new SyntheticTensors(shapes, Seed), $"{name} (synthetic)", static _ => true);
        return ModelCheckpoint.FromParts($"{name} (synthetic)", decoder, vision, Multimodal, catalog);
    }

    /// <summary>LLaVA-1.5's fields: one padded tile, hidden state -2 without the class token, a two-layer projector.</summary>
    internal static MultimodalConfig Multimodal { get; } = new()
    {
        ImageAspectRatio = "pad",
        PatchMergeType = PatchMergeType.Flat,
        GridPinpoints = [],
        SelectLayer = -2,
        DropClassToken = true,
        ProjectorType = "mlp2x_gelu",
        VisionTower = null,
        UseStartEnd = false,
        MaxSequenceLength = null,
    };

    /// <summary>What the published checkpoints have of the optional tensors: all of CLIP, and the bias of conv_linear under Cropping.</summary>
    internal static bool HasOptional(string name, bool cropping) => NameMap.IsVision(name) || (cropping && name == "conv_linear.1.bias");

    private static DecoderConfig Decoder(int hidden, int inner, int layers, int heads, int vocabulary) => new()
    {
        HiddenSize = hidden,
        IntermediateSize = inner,
        Layers = layers,
        Heads = heads,
        KvHeads = heads,
        HeadDim = hidden / heads,
        VocabularySize = vocabulary,
        MaxPositions = 4096,
        NormEpsilon = 1e-5f,
        RopeTheta = 10000,
    };

    private static VisionConfig LargeTower(int? layers) => Tower(1024, 4096, layers ?? 24, 16);

    private static VisionConfig Tower(int hidden, int inner, int layers, int heads) => new()
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
