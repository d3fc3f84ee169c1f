using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace LlavaSp.TrainDemo.Model;

/// <summary>The visual spatial tokens: SFE, and DFI where the variant is Cropping (paper section 3).</summary>
internal static class SpatialTokens
{
    /// <summary>Canonical name of a convolution: Pooling's stand behind a pooling layer and have its index.</summary>
    public static string KernelName(SpatialConfig sizes, VisionConfig vision, int k) =>
        sizes.Mode == SpatialMode.Pooling && k < vision.Grid ? $"conv_{k}.1.weight" : $"conv_{k}.weight";

    /// <summary>Tokens [n, kernels, hidden] of patch features [n, grid * grid, width].</summary>
    public static Tensor Forward(NamedWeights weights, SpatialConfig sizes, VisionConfig vision, Tensor features)
    {
        using DisposeScope scope = NewDisposeScope();
        int grid = vision.Grid;
        Tensor map = features.transpose(1, 2).reshape(features.shape[0], vision.HiddenSize, grid, grid);
        Tensor tokens = stack([.. sizes.KernelSizes.Select(k => nn.functional.conv2d(Reduce(k), weights[$"model.{KernelName(sizes, vision, k)}"]).flatten(1))], 1);
        if (sizes.Mode == SpatialMode.Cropping) tokens = cat([tokens, Fuse(weights, sizes, map, tokens)], -1);
        return weights.Linear("model.conv_linear.1", nn.functional.gelu(tokens)).MoveToOuterDisposeScope();

        // The map [n, width, k, k] that a convolution of side k reads whole.
        Tensor Reduce(int k)
        {
            if (k == grid) return map;
            if (sizes.Mode == SpatialMode.Pooling) return nn.functional.adaptive_avg_pool2d(map, k);
            int start = (grid - k) / 2;
            return map.narrow(2, start, k).narrow(3, start, k);
        }
    }

    // Attention of the tokens [n, kernels, width] over the positions of conv_CM.
    private static Tensor Fuse(NamedWeights weights, SpatialConfig sizes, Tensor map, Tensor tokens)
    {
        Tensor positions = nn.functional.conv2d(map, weights["model.conv_CM.weight"], strides: [SpatialConfig.FusionStride, SpatialConfig.FusionStride])
            .flatten(2).transpose(1, 2);
        Tensor query = Project("query", tokens), key = Project("key", positions), value = Project("value", positions);
        using Scalar root = Math.Sqrt(sizes.Width);
        Tensor scores = matmul(query, key.transpose(1, 2)) / root;
        return matmul(nn.functional.softmax(scores, -1), value);

        Tensor Project(string name, Tensor x) => weights.Linear($"model.{name}_projector.1", weights.LayerNorm($"model.{name}_projector.0", x, SpatialConfig.FusionNormEpsilon));
    }
}
