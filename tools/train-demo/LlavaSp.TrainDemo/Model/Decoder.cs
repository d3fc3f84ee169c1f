using LlavaSp.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace LlavaSp.TrainDemo.Model;

/// <summary>A Llama (transformers' LlamaModel): RMSNorm, half-split rotary positions, GQA, SwiGLU.</summary>
internal static class Decoder
{
    /// <summary>Embeddings [..., width] of tokens [...].</summary>
    public static Tensor Embed(NamedWeights weights, Tensor tokens) =>
        weights["model.embed_tokens.weight"].index_select(0, tokens.flatten()).view([.. tokens.shape, -1]);

    /// <summary>Hidden states after the last norm, [n, t, width].</summary>
    /// <param name="weights">The model.</param>
    /// <param name="sizes">Shapes.</param>
    /// <param name="x">Embeddings [n, t, width].</param>
    /// <param name="positions">Positions [n, t] for the rotary angles, int64.</param>
    /// <param name="mask">What a token may look at, bool [n, 1, t, t] or smaller; null for all tokens before it.</param>
    /// <param name="onQueries">Sees each layer's queries and keys [n, heads, t, width], rotated.</param>
    /// <param name="onHidden">Sees what each layer leaves, [n, t, width].</param>
    public static Tensor Forward(
        NamedWeights weights, DecoderConfig sizes, Tensor x, Tensor positions, Tensor? mask, Action<int, Tensor, Tensor>? onQueries = null, Action<int, Tensor>? onHidden = null)
    {
        using DisposeScope scope = NewDisposeScope();
        int width = sizes.HeadDim;
        Tensor frequencies = tensor(Enumerable.Range(0, width / 2).Select(i => (float)Math.Pow(sizes.RopeTheta, -2.0 * i / width)).ToArray());
        Tensor angles = positions.to(float32).unsqueeze(-1) * frequencies;
        angles = cat([angles, angles], -1).unsqueeze(1);
        Tensor cos = angles.cos(), sin = angles.sin();
        for (int layer = 0; layer < sizes.Layers; layer++)
        {
            string at = $"model.layers.{layer}.";
            int index = layer;
            x = x + Attention(weights, sizes, at + "self_attn.", Norm(weights, sizes, at + "input_layernorm", x), cos, sin, mask, onQueries is null ? null : (q, k) => onQueries(index, q, k));
            Tensor normed = Norm(weights, sizes, at + "post_attention_layernorm", x);
            Tensor[] gateUp = weights.Linear([at + "mlp.gate_proj", at + "mlp.up_proj"], normed);
            x = x + weights.Linear(at + "mlp.down_proj", nn.functional.silu(gateUp[0]) * gateUp[1]);
            onHidden?.Invoke(layer, x);
        }

        return Norm(weights, sizes, "model.norm", x).MoveToOuterDisposeScope();
    }

    /// <summary>Logits [..., vocabulary] of hidden states [..., width].</summary>
    public static Tensor Logits(NamedWeights weights, Tensor hidden) => weights.Linear("lm_head", hidden);

    private static Tensor Attention(NamedWeights weights, DecoderConfig sizes, string at, Tensor x, Tensor cos, Tensor sin, Tensor? mask, Action<Tensor, Tensor>? onQueries)
    {
        Tensor[] qkv = weights.Linear([at + "q_proj", at + "k_proj", at + "v_proj"], x);
        Tensor q = Rotate(Heads(qkv[0], sizes.Heads)), k = Rotate(Heads(qkv[1], sizes.KvHeads)), v = Heads(qkv[2], sizes.KvHeads);
        onQueries?.Invoke(q, k);
        int share = sizes.Heads / sizes.KvHeads;
        if (share > 1) (k, v) = (k.repeat_interleave(share, 1), v.repeat_interleave(share, 1));
        (q, k, v) = (weights.Operand(q), weights.Operand(k), weights.Operand(v));
        Tensor attention = nn.functional.scaled_dot_product_attention(q, k, v, mask, 0, mask is null);
        return weights.Linear(at + "o_proj", attention.transpose(1, 2).flatten(2));

        Tensor Heads(Tensor part, int heads) => part.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2);

        Tensor Rotate(Tensor heads)
        {
            long half = heads.shape[^1] / 2;
            return heads * cos + cat([-heads.narrow(-1, half, half), heads.narrow(-1, 0, half)], -1) * sin;
        }
    }

    private static Tensor Norm(NamedWeights weights, DecoderConfig sizes, string module, Tensor x)
    {
        using Scalar epsilon = sizes.NormEpsilon;
        return x * rsqrt((x * x).mean([-1], true) + epsilon) * weights[$"{module}.weight"];
    }
}
