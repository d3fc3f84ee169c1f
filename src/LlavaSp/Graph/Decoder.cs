using LlavaSp.Backends;
using LlavaSp.Checkpoints;

namespace LlavaSp.Graph;

/// <summary>
/// Llama decoder over a key-value cache (transformers modeling_llama.py): RMSNorm, rope, GQA, SwiGLU.
/// </summary>
internal sealed class Decoder : IDisposable
{
    private readonly IBackend _backend;
    private readonly DecoderConfig _config;
    private readonly Weight _embedding;
    private readonly Layer[] _layers;
    private readonly Tensor _norm;
    private readonly Weight _head;

    private Decoder(
        IBackend backend, DecoderConfig config, Weight embedding, Layer[] layers, Tensor norm, Weight head, StageWeights weights, StageWeights embeddings)
    {
        _backend = backend;
        _config = config;
        _embedding = embedding;
        _layers = layers;
        _norm = norm;
        _head = head;
        Weights = weights;
        Embeddings = embeddings;
    }

    /// <summary>Bytes and elements of what every token reads.</summary>
    public StageWeights Weights { get; }

    /// <summary>Bytes of the embedding table, of which a token reads one row.</summary>
    public StageWeights Embeddings { get; }

    /// <summary>Loads the stage.</summary>
    public static Decoder Load(IBackend backend, TensorCatalog catalog, DecoderConfig config, WeightPlan plan, Action<int>? progress = null)
    {
        StageWeights weights = new(backend, catalog), embeddings = new(backend, catalog);
        long vocabulary = config.VocabularySize;
        Weight embedding = embeddings.Matrix("model.embed_tokens.weight", vocabulary, config.HiddenSize, plan.Embedding);
        var layers = new Layer[config.Layers];
        for (int i = 0; i < layers.Length; i++)
        {
            layers[i] = Layer.Load(weights, config, plan, i);
            progress?.Invoke(i + 1);
        }

        // Tied embeddings are two packings of one matrix: a lookup and a product read it in different orders.
        string head = config.TieWordEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight";
        return new Decoder(
            backend, config, embedding, layers, weights.Vector("model.norm.weight", config.HiddenSize),
            weights.Matrix(head, vocabulary, config.HiddenSize, plan.Head), weights, embeddings);
    }

    /// <summary>Rows of the embedding table: destination [ids, hidden].</summary>
    public void Embed(Tensor destination, ReadOnlySpan<int> ids) => _backend.Embed(destination, _embedding, ids);

    /// <summary>
    /// Runs work.Rows positions, whose inputs stand in work.Hidden, at cache positions first …; leaves the logits of the last position in work.Logits,
    /// or those of all positions in <paramref name="allLogits"/> [rows, vocabulary] when it is given.
    /// </summary>
    public void Forward(
        DecoderWorkspace work, KvCache cache, RopeTable rope, int first, ITraceSink? trace = null, Tensor? allLogits = null,
        CancellationToken cancellationToken = default)
    {
        var hiddenStates = trace is not null && trace.Wants("hidden") ? new float[(_layers.Length + 1) * work.Rows * _config.HiddenSize] : null;
        SequenceRows all = work.All(cache, first);
        RunLayers(work, new ReadOnlySpan<SequenceRows>(in all), rope, trace, hiddenStates, cancellationToken);
        if (hiddenStates is not null || allLogits is not null) _backend.RmsNorm(work.Normed, work.Hidden, _norm, _config.NormEpsilon);
        if (hiddenStates is not null)
        {
            Keep(work.Normed, hiddenStates, _layers.Length);
            trace!.Add("hidden", hiddenStates, _layers.Length + 1, work.Rows, _config.HiddenSize);
        }

        if (allLogits is not null)
        {
            _backend.Linear(allLogits, work.Normed, _head);
            return;
        }

        _backend.NormLinear(work.Logits, work.LastNormed, work.LastHidden, _norm, _config.NormEpsilon, _head);
    }

    /// <summary>
    /// One row of each of several sequences, whose inputs stand in work.Hidden one below the other: every weight is read once for all of them. Leaves the
    /// logits of all rows in <paramref name="logits"/> [rows, vocabulary].
    /// </summary>
    public void Forward(DecoderWorkspace work, ReadOnlySpan<SequenceRows> sequences, RopeTable rope, Tensor logits, CancellationToken cancellationToken = default)
    {
        RunLayers(work, sequences, rope, null, null, cancellationToken);
        _backend.NormLinear(logits, work.Normed, work.Hidden, _norm, _config.NormEpsilon, _head);
    }

    /// <summary>The same of several rows of each sequence; the logits are those of the rows <paramref name="last"/>, [last.Length, vocabulary].</summary>
    public void Forward(
        DecoderWorkspace work, ReadOnlySpan<SequenceRows> sequences, RopeTable rope, ReadOnlySpan<int> last, Tensor logits, CancellationToken cancellationToken)
    {
        RunLayers(work, sequences, rope, null, null, cancellationToken);
        using Tensor hidden = _backend.CreateTensor(last.Length, _config.HiddenSize), normed = _backend.CreateTensor(last.Length, _config.HiddenSize, Precision.Operand);
        _backend.Gather(hidden, work.Hidden, last);
        _backend.NormLinear(logits, normed, hidden, _norm, _config.NormEpsilon, _head);
    }

    // Work.Hidden is the input of the first layer, and the output of the last.
    private void RunLayers(
        DecoderWorkspace work, ReadOnlySpan<SequenceRows> sequences, RopeTable rope, ITraceSink? trace, float[]? hiddenStates, CancellationToken cancellationToken)
    {
        for (int i = 0; i < _layers.Length; i++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            Layer layer = _layers[i];
            if (hiddenStates is not null) Keep(work.Hidden, hiddenStates, i);
            _backend.NormLinear(work.Qkv, work.Normed, work.Hidden, layer.AttentionNorm, _config.NormEpsilon, layer.Qkv, new Epilogue(layer.QkvBias));
            if (trace is not null) trace.AddTensor(TraceNames.Qkv(i), work.Qkv);
            foreach (ref readonly SequenceRows rows in sequences) _backend.RopeAttention(rows.Attended, rows.Query, rows.Qkv, rows.Cache, i, rope, rows.First);
            _backend.Linear(work.Hidden, work.Attended, layer.Output, new Epilogue(layer.OutputBias, Residual: work.Hidden));
            _backend.GatedNormLinear(work.Gated, work.GateUp, work.Normed, work.Hidden, layer.MlpNorm, _config.NormEpsilon, layer.GateUp);
            _backend.Linear(work.Hidden, work.Gated, layer.Down, new Epilogue(Residual: work.Hidden));
        }
    }

    private void Keep(Tensor tensor, float[] hiddenStates, int index)
    {
        int size = tensor.Rows * _config.HiddenSize;
        tensor.Read(hiddenStates.AsSpan(index * size, size));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Weights.Dispose();
        Embeddings.Dispose();
    }

    private sealed record Layer(
        Tensor AttentionNorm, Weight Qkv, Tensor? QkvBias, Weight Output, Tensor? OutputBias, Tensor MlpNorm, Weight GateUp, Weight Down)
    {
        public static Layer Load(StageWeights weights, DecoderConfig config, WeightPlan plan, int index)
        {
            string p = $"model.layers.{index}.", attention = $"{p}self_attn.";
            int hidden = config.HiddenSize, queries = config.Heads * config.HeadDim, keys = config.KvHeads * config.HeadDim, inner = config.IntermediateSize;
            TensorCatalog catalog = weights.Catalog;
            return new Layer(
                weights.Vector($"{p}input_layernorm.weight", hidden),
                weights.Create(
                    new StackedMatrix(
                        catalog.Matrix($"{attention}q_proj.weight", queries, hidden), catalog.Matrix($"{attention}k_proj.weight", keys, hidden),
                        catalog.Matrix($"{attention}v_proj.weight", keys, hidden)),
                    plan.Decoder),
                weights.StackedVector(($"{attention}q_proj.bias", queries), ($"{attention}k_proj.bias", keys), ($"{attention}v_proj.bias", keys)),
                weights.Matrix($"{attention}o_proj.weight", hidden, queries, plan.Decoder), weights.OptionalVector($"{attention}o_proj.bias", hidden),
                weights.Vector($"{p}post_attention_layernorm.weight", hidden),
                weights.Create(
                    new StackedMatrix(
                        catalog.Matrix($"{p}mlp.gate_proj.weight", inner, hidden), catalog.Matrix($"{p}mlp.up_proj.weight", inner, hidden)),
                    plan.Decoder),
                weights.Matrix($"{p}mlp.down_proj.weight", hidden, inner, plan.Decoder));
        }
    }
}
