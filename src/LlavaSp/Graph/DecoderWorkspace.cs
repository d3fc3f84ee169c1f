using LlavaSp.Backends;
using LlavaSp.Checkpoints;

namespace LlavaSp.Graph;

/// <summary>Rows of one sequence in a pass: what attention takes apart. First is the cache position of the first row; the tensors are views of the pass's own.</summary>
internal readonly record struct SequenceRows(KvCache Cache, int First, Tensor Query, Tensor Qkv, Tensor Attended);

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

    private DecoderWorkspace(DecoderWorkspace whole, int rows)
    {
        Rows = rows;
        Hidden = whole.Hidden.Slice(0, rows);
        Normed = whole.Normed.Slice(0, rows);
        Qkv = whole.Qkv.Slice(0, rows);
        Query = whole.Query.Slice(0, rows);
        Attended = whole.Attended.Slice(0, rows);
        GateUp = whole.GateUp.Slice(0, rows);
        Gated = whole.Gated.Slice(0, rows);
        LastHidden = Hidden.Slice(rows - 1, 1);
        LastNormed = Normed.Slice(rows - 1, 1);
        Logits = whole.Logits;
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

    /// <summary>The first rows as a workspace of their own in the same memory. It need not be disposed and must not outlive this one.</summary>
    public DecoderWorkspace Top(int rows) => rows == Rows ? this : new(this, rows);

    /// <summary>All rows as those of one sequence.</summary>
    public SequenceRows All(KvCache cache, int first) => new(cache, first, Query, Qkv, Attended);

    /// <summary>Some rows as those of one sequence.</summary>
    /// <param name="row">The first of them.</param>
    /// <param name="count">How many.</param>
    /// <param name="cache">The sequence's cache.</param>
    /// <param name="first">Its position of the first of them.</param>
    public SequenceRows Of(int row, int count, KvCache cache, int first) =>
        new(cache, first, Query.Slice(row, count), Qkv.Slice(row, count), Attended.Slice(row, count));

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Tensor tensor in (Tensor[])[Hidden, Normed, Qkv, Query, Attended, GateUp, Gated, Logits]) tensor.Dispose();
    }
}
