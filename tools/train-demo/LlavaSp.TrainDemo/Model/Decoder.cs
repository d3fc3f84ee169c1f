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

    /// <summary>Hidden states after the last norm, [n, t, width]; of a packed sequence those of the packing's rows, [n, rows, width].</summary>
    /// <param name="weights">The model.</param>
    /// <param name="sizes">Shapes.</param>
    /// <param name="x">Embeddings [n, t, width].</param>
    /// <param name="positions">Positions [n, t] for the rotary angles, int64.</param>
    /// <param name="packing">What a token may look at; null for all tokens before it.</param>
    /// <param name="onQueries">Sees each layer's queries and keys [n, heads, t, width], rotated; of the last layer only the queries of the packing's rows.</param>
    /// <param name="onAttended">Sees what each layer's attention leaves, before its MLP, [n, t, width]; of the last layer only the packing's rows.</param>
    /// <param name="onHidden">Sees what each layer leaves, likewise.</param>
    public static Tensor Forward(
        NamedWeights weights, DecoderConfig sizes, Tensor x, Tensor positions, Packing? packing,
        Action<int, Tensor, Tensor>? onQueries = null, Action<int, Tensor>? onAttended = null, Action<int, Tensor>? onHidden = null)
    {
        using DisposeScope scope = NewDisposeScope();
        int width = sizes.HeadDim;
        Tensor frequencies = tensor(Enumerable.Range(0, width / 2).Select(i => (float)Math.Pow(sizes.RopeTheta, -2.0 * i / width)).ToArray());
        Tensor angles = positions.to(float32).unsqueeze(-1) * frequencies;
        angles = cat([angles, angles], -1).unsqueeze(1);
        Rope rope = new(angles.cos(), angles.sin()), ropeOfRows = rope;
        packing = packing is { } given ? given with { Mask = weights.Operand(given.Mask) } : null;
        for (int layer = 0; layer < sizes.Layers; layer++)
        {
            string at = $"model.layers.{layer}.";
            int index = layer;
            Tensor normed = Norm(weights, sizes, at + "input_layernorm", x), asked = normed;
            // Behind the last layer only those rows are read, so that it computes no others.
            if (packing is { } narrowed && layer == sizes.Layers - 1)
            {
                (asked, x) = (narrowed.Take(normed), narrowed.Take(x));
                ropeOfRows = new(narrowed.Take(rope.Cos.squeeze(1)).unsqueeze(1), narrowed.Take(rope.Sin.squeeze(1)).unsqueeze(1));
                packing = narrowed.Last();
            }

            x = x + Attention(weights, sizes, at + "self_attn.", asked, normed, ropeOfRows, rope, packing, onQueries is null ? null : (q, k) => onQueries(index, q, k));
            onAttended?.Invoke(layer, x);
            Tensor[] gateUp = weights.Linear([at + "mlp.gate_proj", at + "mlp.up_proj"], Norm(weights, sizes, at + "post_attention_layernorm", x));
            x = x + weights.Linear(at + "mlp.down_proj", nn.functional.silu(gateUp[0]) * gateUp[1]);
            onHidden?.Invoke(layer, x);
        }

        return Norm(weights, sizes, "model.norm", x).MoveToOuterDisposeScope();
    }

    /// <summary>Logits [..., vocabulary] of hidden states [..., width].</summary>
    public static Tensor Logits(NamedWeights weights, Tensor hidden) => weights.Linear("lm_head", hidden);

    // Of the rows asked [n, m, width], which look at x [n, t, width]; m is t but in the last layer of a packed sequence.
    private static Tensor Attention(
        NamedWeights weights, DecoderConfig sizes, string at, Tensor asked, Tensor x, Rope ropeOfRows, Rope rope, Packing? packing, Action<Tensor, Tensor>? onQueries)
    {
        Tensor[] qkv = ReferenceEquals(asked, x)
            ? weights.Linear([at + "q_proj", at + "k_proj", at + "v_proj"], x)
            : [weights.Linear(at + "q_proj", asked), .. weights.Linear([at + "k_proj", at + "v_proj"], x)];
        Tensor q = ropeOfRows.Rotate(Heads(qkv[0], sizes.Heads)), k = rope.Rotate(Heads(qkv[1], sizes.KvHeads)), v = Heads(qkv[2], sizes.KvHeads);
        onQueries?.Invoke(q, k);
        int share = sizes.Heads / sizes.KvHeads;
        if (share > 1) (k, v) = (k.repeat_interleave(share, 1), v.repeat_interleave(share, 1));
        (q, k, v) = (weights.Operand(q), weights.Operand(k), weights.Operand(v));
        return weights.Linear(at + "o_proj", Attend(q, k, v, packing).transpose(1, 2).flatten(2));

        Tensor Heads(Tensor part, int heads) => part.reshape(part.shape[0], part.shape[1], heads, -1).transpose(1, 2);
    }

    private static Tensor Attend(Tensor q, Tensor k, Tensor v, Packing? packing)
    {
        if (packing is not { } given) return nn.functional.scaled_dot_product_attention(q, k, v, null, 0, true);
        long prefix = given.Prefix, behind = q.shape[2] - prefix;
        if (prefix == 0) return nn.functional.scaled_dot_product_attention(q, k, v, given.Mask);
        // What is before the questions sees none of them: less to compute than with a mask over everything.
        Tensor before = nn.functional.scaled_dot_product_attention(q.narrow(2, 0, prefix), k.narrow(2, 0, prefix), v.narrow(2, 0, prefix), null, 0, true);
        return cat([before, nn.functional.scaled_dot_product_attention(q.narrow(2, prefix, behind), k, v, given.Mask)], 2);
    }

    private static Tensor Norm(NamedWeights weights, DecoderConfig sizes, string module, Tensor x)
    {
        using Scalar epsilon = sizes.NormEpsilon;
        return x * rsqrt((x * x).mean([-1], true) + epsilon) * weights[$"{module}.weight"];
    }

    /// <summary>Rotary angles [n, 1, t, width].</summary>
    private readonly record struct Rope(Tensor Cos, Tensor Sin)
    {
        public Tensor Rotate(Tensor heads)
        {
            long half = heads.shape[^1] / 2;
            return heads * Cos + cat([-heads.narrow(-1, half, half), heads.narrow(-1, 0, half)], -1) * Sin;
        }
    }
}
