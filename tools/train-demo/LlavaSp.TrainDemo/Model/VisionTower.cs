using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace LlavaSp.TrainDemo.Model;

/// <summary>CLIP's vision tower (transformers' CLIPVisionTransformer): pre-LN, quick-GELU or GELU.</summary>
internal static class VisionTower
{
    private const float Slope = 1.702f;

    /// <summary>Where LLaVA checkpoints keep it.</summary>
    public const string Prefix = "model.vision_tower.vision_tower.vision_model.";

    /// <summary>Patch features [n, grid * grid, width] of pictures [n, 3, side, side].</summary>
    /// <param name="weights">The model.</param>
    /// <param name="sizes">Its shapes.</param>
    /// <param name="layers">Layers that run: all but the last, where the features are hidden state -2.</param>
    /// <param name="pictures">Normalised pixels.</param>
    public static Tensor Forward(NamedWeights weights, VisionConfig sizes, int layers, Tensor pictures)
    {
        using DisposeScope scope = NewDisposeScope();
        const string Embeddings = Prefix + "embeddings.";
        Tensor patches = nn.functional.conv2d(pictures, weights[Embeddings + "patch_embedding.weight"], strides: [sizes.PatchSize, sizes.PatchSize]).flatten(2).transpose(1, 2);
        Tensor first = weights[Embeddings + "class_embedding"].view(1, 1, sizes.HiddenSize).expand(pictures.shape[0], 1, sizes.HiddenSize);
        Tensor x = weights.LayerNorm(Prefix + "pre_layrnorm", cat([first, patches], 1) + weights[Embeddings + "position_embedding.weight"], sizes.NormEpsilon);
        for (int layer = 0; layer < layers; layer++) x = Layer(weights, sizes, $"{Prefix}encoder.layers.{layer}.", x);
        return x.narrow(1, 1, (long)sizes.Grid * sizes.Grid).MoveToOuterDisposeScope();
    }

    private static Tensor Layer(NamedWeights weights, VisionConfig sizes, string at, Tensor x)
    {
        Tensor normed = weights.LayerNorm(at + "layer_norm1", x, sizes.NormEpsilon);
        Tensor[] qkv = weights.Linear([at + "self_attn.q_proj", at + "self_attn.k_proj", at + "self_attn.v_proj"], normed);
        Tensor attention = nn.functional.scaled_dot_product_attention(Heads(qkv[0]), Heads(qkv[1]), Heads(qkv[2]));
        x = x + weights.Linear(at + "self_attn.out_proj", attention.transpose(1, 2).reshape(x.shape));
        normed = weights.LayerNorm(at + "layer_norm2", x, sizes.NormEpsilon);
        if (sizes.Activation == Activation.Gelu) return x + weights.Linear(at + "mlp.fc2", nn.functional.gelu(weights.Linear(at + "mlp.fc1", normed)));
        // Quick GELU, h sigmoid(s h), is silu(s h) / s. Both factors go into the weights, which are few: one pass over the activations instead of three.
        Tensor inner = weights.Linear(at + "mlp.fc1", normed, Slope, Slope);
        return x + weights.Linear(at + "mlp.fc2", nn.functional.silu(inner), 1 / Slope);

        Tensor Heads(Tensor part) => weights.Operand(part.reshape(x.shape[0], x.shape[1], sizes.Heads, -1).transpose(1, 2));
    }
}
