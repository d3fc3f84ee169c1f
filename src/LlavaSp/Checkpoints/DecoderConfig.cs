namespace LlavaSp.Checkpoints;

/// <summary>Scaling of rotary positions beyond the trained length (transformers, modeling_llama.py).</summary>
public enum RopeScalingKind
{
    /// <summary>None.</summary>
    None,

    /// <summary>Positions divided by the factor.</summary>
    Linear,

    /// <summary>NTK-aware: the base grows with the length once it passes the trained one.</summary>
    Dynamic,
}

/// <summary>Sizes and constants of the Llama-family decoder, from config.json.</summary>
public sealed record DecoderConfig
{
    /// <summary>Width of the residual stream.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>Width inside the MLP.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>Number of layers.</summary>
    public required int Layers { get; init; }

    /// <summary>Query heads.</summary>
    public required int Heads { get; init; }

    /// <summary>Key-value heads (GQA when fewer than <see cref="Heads"/>).</summary>
    public required int KvHeads { get; init; }

    /// <summary>Width of a head.</summary>
    public required int HeadDim { get; init; }

    /// <summary>Vocabulary size.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Positions that the model was trained for: dynamic rotary scaling begins beyond them.</summary>
    public required int MaxPositions { get; init; }

    /// <summary>Positions that a sliding attention sees (Mistral); <see cref="int.MaxValue"/> without one.</summary>
    public int SlidingWindow { get; init; } = int.MaxValue;

    /// <summary>Epsilon of RMSNorm.</summary>
    public required float NormEpsilon { get; init; }

    /// <summary>Base of the rotary frequencies.</summary>
    public required double RopeTheta { get; init; }

    /// <summary>Kind of rotary scaling.</summary>
    public RopeScalingKind RopeScaling { get; init; }

    /// <summary>Factor of the rotary scaling.</summary>
    public double RopeFactor { get; init; } = 1;

    /// <summary>Whether the output matrix is the embedding table.</summary>
    public bool TieWordEmbeddings { get; init; }

    /// <summary>
    /// Positions a sequence may have: the trained ones, times the factor when rotary scaling stretches them. Inside its window a sliding attention sees
    /// everything, so the window bounds the context.
    /// </summary>
    public int ContextLength => (int)Math.Min(Math.Min(1 << 24, MaxPositions * RopeFactor), SlidingWindow);

    /// <summary>Reads the fields of transformers' LlamaConfig; missing ones take that class's defaults.</summary>
    /// <exception cref="CheckpointException">A field has an impossible value, or asks for something this decoder does not do.</exception>
    internal static DecoderConfig Parse(JsonConfig json)
    {
        int hidden = json.Int("hidden_size", 4096, high: 1 << 16), heads = json.Int("num_attention_heads", 32, high: 1 << 12);
        int kvHeads = json.Int("num_key_value_heads", heads, high: heads);
        if (!json.Has("head_dim") && hidden % heads != 0)
            throw new CheckpointException($"{json.Path}: 'hidden_size' {hidden} is not a multiple of 'num_attention_heads' {heads}");
        int headDim = json.Int("head_dim", hidden / heads, high: 1 << 12);
        if (heads % kvHeads != 0)
            throw new CheckpointException($"{json.Path}: 'num_attention_heads' {heads} is not a multiple of 'num_key_value_heads' {kvHeads}");
        if (headDim % 2 != 0) throw new CheckpointException($"{json.Path}: head width {headDim} is odd, rotary embedding needs an even one");
        if (json.Text("hidden_act") is { } act && act != "silu")
            throw new CheckpointException($"{json.Path}: 'hidden_act' is '{act}', only 'silu' is supported");
        if (json.Bool("mlp_bias", false)) throw new CheckpointException($"{json.Path}: 'mlp_bias' is true, biases in the MLP are not supported");
        (RopeScalingKind scaling, double factor) = ParseScaling(json);
        return new DecoderConfig
        {
            HiddenSize = hidden,
            IntermediateSize = json.Int("intermediate_size", 11008, high: 1 << 18),
            Layers = json.Int("num_hidden_layers", 32, high: 1024),
            Heads = heads,
            KvHeads = kvHeads,
            HeadDim = headDim,
            VocabularySize = json.Int("vocab_size", 32000, high: 1 << 22),
            MaxPositions = json.Int("max_position_embeddings", 2048, high: 1 << 24),
            SlidingWindow = json.Int("sliding_window", int.MaxValue),
            NormEpsilon = (float)json.Positive("rms_norm_eps", 1e-6, high: 1),
            RopeTheta = json.Positive("rope_theta", 10000, high: 1e30),
            RopeScaling = scaling,
            RopeFactor = factor,
            TieWordEmbeddings = json.Bool("tie_word_embeddings", false),
        };
    }

    private static (RopeScalingKind Kind, double Factor) ParseScaling(JsonConfig json)
    {
        if (json.Object("rope_scaling") is not { } scaling) return (RopeScalingKind.None, 1);
        string? kind = scaling.Text("rope_type") ?? scaling.Text("type");
        return kind switch
        {
            "default" => (RopeScalingKind.None, 1),
            "linear" => (RopeScalingKind.Linear, Factor()),
            "dynamic" => (RopeScalingKind.Dynamic, Factor()),
            _ => throw new CheckpointException($"{scaling.Path}: scaling type '{kind}' is not supported, only linear and dynamic are"),
        };

        double Factor() => scaling.Positive("factor", high: 1024) is >= 1 and var factor
            ? factor
            : throw new CheckpointException($"{scaling.Path}: 'factor' must be a number from 1 to 1024");
    }
}
