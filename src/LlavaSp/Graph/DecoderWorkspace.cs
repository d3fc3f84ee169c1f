using LlavaSp.Backends;
using LlavaSp.Checkpoints;

namespace LlavaSp.Graph;

/// <summary>Activations of one forward pass of the decoder over a fixed number of rows; a decode step uses one of one row again and again.</summary>
internal sealed class DecoderWorkspace : IDisposable
{
    /// <summary>Allocates everything.</summary>
    public DecoderWorkspace(IBackend backend, DecoderConfig config, int rows)
    {
        Rows = rows;
        int queries = config.Heads * config.HeadDim, keys = config.KvHeads * config.HeadDim;
        Hidden = backend.CreateTensor(rows, config.HiddenSize);
        Normed = backend.CreateTensor(rows, config.HiddenSize, Precision.Operand);
        Qkv = backend.CreateTensor(rows, queries + 2 * keys, Precision.Operand);
        Query = backend.CreateTensor(rows, queries, Precision.Query);
        Attended = backend.CreateTensor(rows, queries, Precision.Operand);
        GateUp = backend.CreateTensor(rows, 2 * config.IntermediateSize, Precision.Operand);
        Gated = backend.CreateTensor(rows, config.IntermediateSize, Precision.Operand);
        LastHidden = Hidden.Slice(rows - 1, 1);
        LastNormed = Normed.Slice(rows - 1, 1);
        Logits = backend.CreateTensor(1, config.VocabularySize);
    }

    /// <summary>Positions of a pass.</summary>
    public int Rows { get; }

    /// <summary>Residual stream [rows, hidden]: the inputs before the pass.</summary>
    public Tensor Hidden { get; }

    /// <summary>[rows, hidden].</summary>
    public Tensor Normed { get; }

    /// <summary>[rows, (heads + 2 * kvHeads) * headDim].</summary>
    public Tensor Qkv { get; }

    /// <summary>[rows, heads * headDim].</summary>
    public Tensor Query { get; }

    /// <summary>[rows, heads * headDim].</summary>
    public Tensor Attended { get; }

    /// <summary>[rows, 2 * intermediate].</summary>
    public Tensor GateUp { get; }

    /// <summary>[rows, intermediate].</summary>
    public Tensor Gated { get; }

    /// <summary>Last row of <see cref="Hidden"/>.</summary>
    public Tensor LastHidden { get; }

    /// <summary>Last row of <see cref="Normed"/>.</summary>
    public Tensor LastNormed { get; }

    /// <summary>[1, vocabulary].</summary>
    public Tensor Logits { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Tensor tensor in (Tensor[])[Hidden, Normed, Qkv, Query, Attended, GateUp, Gated, Logits]) tensor.Dispose();
    }
}
