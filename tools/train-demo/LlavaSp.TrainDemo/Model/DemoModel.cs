using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Worlds.Rendering;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace LlavaSp.TrainDemo.Model;

/// <summary>Sizes of the demo models, and their weights before training.</summary>
internal static class DemoModel
{
    /// <summary>Layers of the vision tower that run: its output is hidden state -2, so that the last one never does and is not shipped.</summary>
    public const int VisionLayers = 5;

    /// <summary>r and alpha of the adapters.</summary>
    public const int LoraRank = 8, LoraAlpha = 16;

    /// <summary>Side of conv_CM: with a stride of 2 over 12 x 12 patches it has 25 positions, as in the published models.</summary>
    private const int FusionKernel = 4;

    private const int SpatialWidth = 24;

    private static readonly int[] KernelSizes = [2, 4, 6, 8, 10, 12];

    /// <summary>A CLIP of 168 pixels: 12 x 12 patches.</summary>
    public static VisionConfig Vision { get; } = new()
    {
        ImageSize = SceneRenderer.DefaultSide,
        PatchSize = 14,
        HiddenSize = 128,
        IntermediateSize = 512,
        Layers = VisionLayers + 1,
        Heads = 4,
        NormEpsilon = 1e-5f,
        Activation = Activation.QuickGelu,
    };

    public static MultimodalConfig Multimodal { get; } = SyntheticModel.Multimodal with { VisionTower = "llava-sp-v1-demo-clip", MaxSequenceLength = 1024 };

    public static DecoderConfig Decoder(int vocabulary) => new()
    {
        HiddenSize = 160,
        IntermediateSize = 384,
        Layers = 5,
        Heads = 5,
        KvHeads = 5,
        HeadDim = 32,
        VocabularySize = vocabulary,
        MaxPositions = 1024,
        NormEpsilon = 1e-5f,
        RopeTheta = 10000,
    };

    public static SpatialConfig Spatial(SpatialMode? variant) => new(
        variant, variant is null ? [] : KernelSizes, variant is null ? 0 : SpatialWidth, variant == SpatialMode.Cropping ? FusionKernel : 0, "demo");

    /// <summary>Weights of all stages but the spatial tokens, drawn by lot.</summary>
    public static NamedWeights Fresh(DecoderConfig decoder) => Draw(decoder, null, static _ => true);

    /// <summary>Adds spatial tokens, drawn by lot.</summary>
    public static void AddSpatialTokens(NamedWeights weights, DecoderConfig decoder, SpatialMode variant)
    {
        var known = weights.All.Keys.ToHashSet();
        foreach (var (name, tensor) in Draw(decoder, variant, name => !known.Contains(name)).All) weights[name] = tensor;
    }

    /// <summary>Adds an adapter to every linear of the decoder's layers, as peft initialises it: it changes nothing yet.</summary>
    public static void AddLora(NamedWeights weights)
    {
        weights.LoraScale = (float)LoraAlpha / LoraRank;
        foreach (var (name, matrix) in weights.All.Where(pair => IsDecoderLinear(pair.Key)).ToList())
        {
            string module = name[..^".weight".Length];
            weights[$"{module}.{NamedWeights.LoraA}"] = (rand(LoraRank, matrix.shape[1]) * 2 - 1) / Math.Sqrt(matrix.shape[1]);
            weights[$"{module}.{NamedWeights.LoraB}"] = zeros(matrix.shape[0], LoraRank);
        }
    }

    private static bool IsDecoderLinear(string name) =>
        name.StartsWith("model.layers.", StringComparison.Ordinal) && name.EndsWith("_proj.weight", StringComparison.Ordinal);

    private static NamedWeights Draw(DecoderConfig decoder, SpatialMode? variant, Func<string, bool> wanted)
    {
        SpatialConfig spatial = Spatial(variant);
        var weights = new NamedWeights();
        foreach (LayoutTensor tensor in ModelLayout.Of(decoder, Vision, Multimodal, spatial, k => SpatialTokens.KernelName(spatial, Vision, k)))
        {
            if (tensor.Need == TensorNeed.Unread || (tensor.Need == TensorNeed.Optional && !SyntheticModel.HasOptional(tensor.Name, variant == SpatialMode.Cropping))) continue;
            string name = NameMap.Published(tensor.Name);
            if (wanted(name)) weights[name] = Draw(tensor, decoder);
        }

        return weights;
    }

    /// <summary>
    /// Position embeddings [1 + grid * grid, width] to begin with: sines and cosines of row and column, with periods from two patches to two grids. Drawn by
    /// lot and small, as CLIP's begin, they do not say where a patch is for longer than this training lasts.
    /// </summary>
    public static Tensor PositionWaves()
    {
        const float Amplitude = 0.5f;
        int grid = Vision.Grid, width = Vision.HiddenSize, waves = width / 4;
        var values = new float[(1 + (grid * grid)) * width];
        for (int cell = 0; cell < grid * grid; cell++)
        {
            for (int wave = 0; wave < waves; wave++)
            {
                double frequency = Math.PI * Math.Pow(grid, -wave / (waves - 1.0));
                var (sinX, cosX) = Math.SinCos(frequency * (cell % grid));
                var (sinY, cosY) = Math.SinCos(frequency * (cell / grid));
                double[] four = [sinX, cosX, sinY, cosY];
                for (int i = 0; i < 4; i++) values[((1 + cell) * width) + (i * waves) + wave] = Amplitude * (float)four[i];
            }
        }

        return tensor(values, [1 + (grid * grid), width]);
    }

    private static Tensor Draw(LayoutTensor tensor, DecoderConfig decoder)
    {
        if (tensor.Name.EndsWith(".bias", StringComparison.Ordinal)) return zeros(tensor.Shape);
        if (tensor.Name.EndsWith("position_embedding.weight", StringComparison.Ordinal)) return PositionWaves();
        if (tensor.Name.Contains("embedding", StringComparison.Ordinal) && tensor.Role == TensorRole.Vector) return randn(tensor.Shape) * 0.02f;
        if (tensor.Role == TensorRole.Vector) return ones(tensor.Shape);
        // What adds to the residual stream begins smaller, by the number of such additions.
        double scale = tensor.Name switch
        {
            _ when EndsWith(".o_proj.weight", ".down_proj.weight") => 1 / Math.Sqrt(2 * decoder.Layers),
            _ when EndsWith(".out_proj.weight", ".fc2.weight") => 1 / Math.Sqrt(2 * VisionLayers),
            "lm_head.weight" => 0.25,
            // Tokens of text and of pictures begin about as large as what the layers add to them, or it drowns them.
            "model.embed_tokens.weight" => Math.Sqrt(tensor.Columns),
            "mm_projector.2.weight" or "conv_linear.1.weight" => 0.35,
            _ => 1,
        };
        return randn(tensor.Shape) * (scale / Math.Sqrt(tensor.Columns));

        bool EndsWith(params ReadOnlySpan<string> ends)
        {
            foreach (string end in ends)
                if (tensor.Name.EndsWith(end, StringComparison.Ordinal)) return true;
            return false;
        }
    }
}
