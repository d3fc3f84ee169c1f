using System.Globalization;

namespace LlavaSp.Peers.Llama;

/// <summary>GGUF files with random weights of the shapes that are measured.</summary>
internal static class LlamaFile
{
    private const int ByteTokens = 256, Normal = 1, Unknown = 2, Control = 3, Byte = 6;

    /// <summary>A decoder as llama.cpp's own quantiser would write it: all matrices of one type, at 4 bits the output matrix in Q6_K. Written once, then reused.</summary>
    public static string Decoder(string folder, GgufType type, int layers)
    {
        string path = Path.Combine(folder, $"decoder-{type}-{layers}.gguf");
        if (File.Exists(path)) return path;
        var file = new GgufWriter();
        file.Add("general.architecture", "llama");
        file.Add("general.name", "random");
        file.Add("general.file_type", type == GgufType.Q4_0 ? 2u : 7u);
        file.Add("llama.context_length", 4096u);
        file.Add("llama.embedding_length", (uint)Shapes.Hidden);
        file.Add("llama.block_count", (uint)layers);
        file.Add("llama.feed_forward_length", (uint)Shapes.Inner);
        file.Add("llama.rope.dimension_count", (uint)Shapes.HeadSize);
        file.Add("llama.attention.head_count", (uint)Shapes.Heads);
        file.Add("llama.attention.head_count_kv", (uint)Shapes.Heads);
        file.Add("llama.attention.layer_norm_rms_epsilon", 1e-5f);
        file.Add("llama.vocab_size", (uint)Shapes.Vocabulary);
        AddTokenizer(file);

        file.AddTensor("token_embd.weight", type, Shapes.Hidden, Shapes.Vocabulary);
        for (int layer = 0; layer < layers; layer++)
        {
            string prefix = $"blk.{layer}.";
            file.AddTensor(prefix + "attn_norm.weight", GgufType.F32, Shapes.Hidden);
            foreach (string name in (string[])["attn_q", "attn_k", "attn_v", "attn_output"])
                file.AddTensor($"{prefix}{name}.weight", type, Shapes.Hidden, Shapes.Hidden);
            file.AddTensor(prefix + "ffn_norm.weight", GgufType.F32, Shapes.Hidden);
            file.AddTensor(prefix + "ffn_gate.weight", type, Shapes.Hidden, Shapes.Inner);
            file.AddTensor(prefix + "ffn_up.weight", type, Shapes.Hidden, Shapes.Inner);
            file.AddTensor(prefix + "ffn_down.weight", type, Shapes.Inner, Shapes.Hidden);
        }

        file.AddTensor("output_norm.weight", GgufType.F32, Shapes.Hidden);
        file.AddTensor("output.weight", type == GgufType.Q4_0 ? GgufType.Q6_K : type, Shapes.Hidden, Shapes.Vocabulary);
        file.Write(path);
        return path;
    }

    /// <summary>The least that a SentencePiece vocabulary must have.</summary>
    private static void AddTokenizer(GgufWriter file)
    {
        var tokens = new List<string> { "<unk>", "<s>", "</s>" };
        var types = new List<int> { Unknown, Control, Control };
        for (int value = 0; value < ByteTokens; value++)
        {
            tokens.Add($"<0x{value:X2}>");
            types.Add(Byte);
        }

        while (tokens.Count < Shapes.Vocabulary)
        {
            tokens.Add("t" + tokens.Count.ToString(CultureInfo.InvariantCulture));
            types.Add(Normal);
        }

        file.Add("tokenizer.ggml.model", "llama");
        file.Add("tokenizer.ggml.tokens", tokens);
        file.Add("tokenizer.ggml.scores", [.. tokens.Select((_, index) => -(float)index)]);
        file.Add("tokenizer.ggml.token_type", types);
        file.Add("tokenizer.ggml.bos_token_id", 1u);
        file.Add("tokenizer.ggml.eos_token_id", 2u);
        file.Add("tokenizer.ggml.unknown_token_id", 0u);
        file.Add("tokenizer.ggml.add_bos_token", true);
    }
}
