using System.Runtime.CompilerServices;

namespace LlavaSp.Backends.Cpu;

public sealed unsafe partial class CpuBackend
{
    /// <inheritdoc/>
    public void Copy(Tensor destination, Tensor source)
    {
        CpuTensor y = Of(destination), x = Of(source);
        Require(y.Rows == x.Rows && y.Columns == x.Columns, "source and destination differ in size");
        Check(NativeMethods.lsp_copy(_engine.Value, y.Data, x.Data, x.Length));
        Keep(destination, source);
    }

    /// <inheritdoc/>
    public void Gather(Tensor destination, Tensor source, ReadOnlySpan<int> rows)
    {
        CpuTensor y = Of(destination), x = Of(source);
        Require(y.Rows == rows.Length && y.Columns == x.Columns, "destination is not [rows, columns of the source]");
        foreach (int row in rows) Require((uint)row < (uint)x.Rows, "a row is outside of the source");
        if (rows.IsEmpty) return;
        fixed (int* ids = rows) Check(NativeMethods.lsp_gather(_engine.Value, y.Data, x.Data, x.Rows, x.Columns, ids, rows.Length));
        Keep(destination, source);
    }

    /// <inheritdoc/>
    public void LayerNorm(Tensor destination, Tensor source, Tensor weight, Tensor bias, float epsilon)
    {
        CpuTensor y = Of(destination), x = Of(source), w = Of(weight), b = Of(bias);
        Require(y.Rows == x.Rows && y.Columns == x.Columns, "source and destination differ in size");
        Require(w.Length == x.Columns && b.Length == x.Columns, "weight and bias are not [columns]");
        Check(NativeMethods.lsp_layer_norm(_engine.Value, y.Data, x.Data, w.Data, b.Data, x.Rows, x.Columns, epsilon));
        Keep(destination, source, weight, bias);
    }

    /// <inheritdoc/>
    public void RmsNorm(Tensor destination, Tensor source, Tensor weight, float epsilon)
    {
        CpuTensor y = Of(destination), x = Of(source), w = Of(weight);
        Require(y.Rows == x.Rows && y.Columns == x.Columns, "source and destination differ in size");
        Require(w.Length == x.Columns, "weight is not [columns]");
        Check(NativeMethods.lsp_rms_norm(_engine.Value, y.Data, x.Data, w.Data, x.Rows, x.Columns, epsilon));
        Keep(destination, source, weight);
    }

    /// <inheritdoc/>
    public void Linear(Tensor destination, Tensor source, Weight weight, Epilogue epilogue = default)
    {
        CpuTensor y = Of(destination), x = Of(source);
        CpuWeight w = Of(weight);
        CpuTensor? bias = epilogue.Bias is null ? null : Of(epilogue.Bias), residual = epilogue.Residual is null ? null : Of(epilogue.Residual);
        Require(x.Columns == w.Columns, "the source's columns are not the weight's");
        Require(y.Rows == x.Rows && y.Columns == w.Rows, "destination is not [rows of the source, rows of the weight]");
        Require(bias is null || bias.Length == w.Rows, "bias is not [rows of the weight]");
        Require(residual is null || (residual.Rows == y.Rows && residual.Columns == y.Columns), "residual and destination differ in size");
        Require(y.Data >= x.Data + x.Length || x.Data >= y.Data + y.Length, "source and destination overlap");
        Check(NativeMethods.lsp_linear(
            _engine.Value, y.Data, x.Data, x.Rows, w.Value, Data(bias), epilogue.Activation, Data(residual), _int8));
        Keep(destination, source, weight);
        Keep(bias, residual);
    }

    /// <inheritdoc/>
    public void FullAttention(Tensor destination, Tensor qkv, int batch, int heads)
    {
        CpuTensor y = Of(destination), x = Of(qkv);
        Require(batch >= 1 && x.Rows % batch == 0, "rows are not a multiple of the batch");
        Require(heads >= 1 && x.Columns % (3 * heads) == 0, "columns are not 3 * heads * headDim");
        Require(y.Rows == x.Rows && y.Columns == x.Columns / 3, "destination is not [rows, heads * headDim]");
        Check(NativeMethods.lsp_full_attention(_engine.Value, y.Data, x.Data, batch, x.Rows / batch, heads, x.Columns / 3 / heads));
        Keep(destination, qkv);
    }

    /// <inheritdoc/>
    public void RopeAndCache(Tensor query, Tensor qkv, KvCache cache, int layer, RopeTable rope, int first)
    {
        CpuTensor q = Of(query), x = Of(qkv), cos = Of(rope.Cos), sin = Of(rope.Sin);
        CpuKvCache kv = Of(cache);
        int headDim = kv.Shape.HeadDim;
        CheckCache(kv, layer, first, x.Rows);
        Require(q.Columns % headDim == 0 && q.Rows == x.Rows, "query is not [rows, heads * headDim]");
        Require(x.Columns == q.Columns + 2 * kv.Shape.KvHeads * headDim, "qkv is not [rows, (heads + 2 * kvHeads) * headDim]");
        Require(cos.Columns == headDim / 2 && sin.Columns == headDim / 2, "the rope table is not [positions, headDim / 2]");
        Require(cos.Rows - first >= x.Rows && sin.Rows - first >= x.Rows, "the rope table is too short");
        Check(NativeMethods.lsp_rope_and_cache(
            _engine.Value, q.Data, x.Data, x.Rows, q.Columns / headDim, kv.Value, layer, first, cos.Data, sin.Data));
        Keep(query, qkv, cache);
        Keep(cos, sin);
    }

    /// <inheritdoc/>
    public void CausalAttention(Tensor destination, Tensor query, KvCache cache, int layer, int first)
    {
        CpuTensor y = Of(destination), q = Of(query);
        CpuKvCache kv = Of(cache);
        int headDim = kv.Shape.HeadDim;
        CheckCache(kv, layer, first, q.Rows);
        Require(y.Rows == q.Rows && y.Columns == q.Columns, "query and destination differ in size");
        Require(q.Columns % headDim == 0 && q.Columns / headDim % kv.Shape.KvHeads == 0, "heads are not a multiple of the cache's");
        Check(NativeMethods.lsp_causal_attention(_engine.Value, y.Data, q.Data, q.Rows, q.Columns / headDim, kv.Value, layer, first));
        Keep(destination, query, cache);
    }

    /// <inheritdoc/>
    public void GatedActivation(Tensor destination, Tensor gateUp)
    {
        CpuTensor y = Of(destination), x = Of(gateUp);
        Require(y.Rows == x.Rows && x.Columns == 2L * y.Columns, "gate and up are not [rows, 2 * columns]");
        Check(NativeMethods.lsp_gated_activation(_engine.Value, y.Data, x.Data, y.Rows, y.Columns));
        Keep(destination, gateUp);
    }

    /// <inheritdoc/>
    public void Activate(Tensor destination, Tensor source, Activation activation)
    {
        CpuTensor y = Of(destination), x = Of(source);
        Require(y.Rows == x.Rows && y.Columns == x.Columns, "source and destination differ in size");
        Check(NativeMethods.lsp_activate(_engine.Value, y.Data, x.Data, x.Length, activation));
        Keep(destination, source);
    }

    /// <inheritdoc/>
    public void Embed(Tensor destination, Weight table, ReadOnlySpan<int> ids)
    {
        CpuTensor y = Of(destination);
        CpuWeight w = Of(table);
        Require(y.Rows == ids.Length && y.Columns == w.Columns, "destination is not [ids, columns of the table]");
        foreach (int id in ids) Require(id >= 0 && id < w.Rows, "an id is outside of the table");
        if (ids.IsEmpty) return;
        fixed (int* pointer = ids) Check(NativeMethods.lsp_embed(_engine.Value, y.Data, w.Value, pointer, ids.Length));
        Keep(destination, table);
    }

    /// <inheritdoc/>
    public int Argmax(Tensor logits)
    {
        CpuTensor x = Of(logits);
        Require(x.Rows == 1, "logits are not one row");
        NativeMethods.Status status = NativeMethods.lsp_argmax(_engine.Value, x.Data, x.Columns, out long index);
        if (status == NativeMethods.Status.NotANumber)
            throw new LlavaSpException("the model computed NaN instead of logits: its weights are damaged or overflow their format");
        Check(status);
        Keep(logits, null);
        return (int)index;
    }

    private static CpuTensor Of(Tensor tensor) => tensor as CpuTensor ?? throw new ArgumentException("the tensor belongs to another backend", nameof(tensor));

    private static CpuWeight Of(Weight weight) => weight as CpuWeight ?? throw new ArgumentException("the weight belongs to another backend", nameof(weight));

    private static CpuKvCache Of(KvCache cache) => cache as CpuKvCache ?? throw new ArgumentException("the cache belongs to another backend", nameof(cache));

    private static float* Data(CpuTensor? tensor) => tensor is null ? null : tensor.Data;

    /// <summary>A mismatch of shapes is a defect of the caller; native code never sees it.</summary>
    private static void Require(bool condition, string problem, [CallerMemberName] string operation = "")
    {
        if (!condition) throw new ArgumentException($"{operation}: {problem}");
    }

    private static void CheckCache(CpuKvCache cache, int layer, int first, int rows, [CallerMemberName] string operation = "")
    {
        Require(layer >= 0 && layer < cache.Shape.Layers, "no such layer in the cache", operation);
        Require(first >= 0 && rows <= cache.Shape.Capacity - first, "positions beyond the capacity of the cache", operation);
    }

    /// <summary>Native calls hold bare pointers: the objects that own the memory must stay reachable until then.</summary>
    private static void Keep(object? first, object? second, object? third = null, object? fourth = null)
    {
        GC.KeepAlive(first);
        GC.KeepAlive(second);
        GC.KeepAlive(third);
        GC.KeepAlive(fourth);
    }
}
