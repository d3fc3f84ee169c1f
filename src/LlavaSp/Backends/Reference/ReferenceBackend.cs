using LlavaSp.Quantization;

namespace LlavaSp.Backends.Reference;

/// <summary>
/// The definition of right: plain C#, float32, one loop per formula. Runs wherever .NET runs; every other backend is checked against it.
/// </summary>
public sealed partial class ReferenceBackend : IBackend
{
    /// <inheritdoc/>
    public BackendInfo Info { get; }

    /// <summary>Creates it.</summary>
    /// <param name="reason">Why it was chosen, for the log.</param>
    public ReferenceBackend(string reason = "asked for by name") =>
        Info = new BackendInfo("reference", "dotnet", Environment.ProcessorCount, reason);

    /// <inheritdoc/>
    public Tensor CreateTensor(int rows, int columns, Precision precision = Precision.Full) => ReferenceTensor.Create(rows, columns);

    /// <inheritdoc/>
    public Weight CreateWeight(WeightSource source, WeightFormat format) => ReferenceWeight.Create(source, format);

    /// <inheritdoc/>
    public KvCache CreateKvCache(KvCacheShape shape)
    {
        // Its numbers are float32 whatever the format.
        (shape with { Format = KvFormat.F32 }).RequireHostMemory();
        return new ReferenceKvCache(shape);
    }

    /// <inheritdoc/>
    public void CopyCache(KvCache destination, KvCache source, int positions) => ((ReferenceKvCache)destination).Take((ReferenceKvCache)source, positions);

    /// <inheritdoc/>
    public void Copy(Tensor destination, Tensor source) => Of(source).Span.CopyTo(Of(destination).Span);

    /// <inheritdoc/>
    public void Gather(Tensor destination, Tensor source, ReadOnlySpan<int> rows)
    {
        for (int i = 0; i < rows.Length; i++) Of(source).Row(rows[i]).CopyTo(Of(destination).Row(i));
    }

    /// <inheritdoc/>
    public void LayerNorm(Tensor destination, Tensor source, Tensor weight, Tensor bias, float epsilon)
    {
        for (int r = 0; r < source.Rows; r++)
            ReferenceMath.LayerNorm(Of(destination).Row(r), Of(source).Row(r), Of(weight).Span, Of(bias).Span, epsilon);
    }

    /// <inheritdoc/>
    public void RmsNorm(Tensor destination, Tensor source, Tensor weight, float epsilon)
    {
        for (int r = 0; r < source.Rows; r++)
            ReferenceMath.RmsNorm(Of(destination).Row(r), Of(source).Row(r), Of(weight).Span, epsilon);
    }

    /// <inheritdoc/>
    public void Linear(Tensor destination, Tensor source, Weight weight, Epilogue epilogue = default)
    {
        ReferenceTensor y = Of(destination), x = Of(source);
        var w = (ReferenceWeight)weight;
        ReferenceTensor? bias = epilogue.Bias is null ? null : Of(epilogue.Bias);
        ReferenceTensor? residual = epilogue.Residual is null ? null : Of(epilogue.Residual);
        ParallelRows.For((int)w.Rows, n =>
        {
            ReadOnlySpan<float> row = w.Row(n);
            for (int m = 0; m < x.Rows; m++)
            {
                float sum = ReferenceMath.Dot(x.Row(m), row);
                if (bias is not null) sum += bias.Span[n];
                sum = ReferenceMath.Apply(epilogue.Activation, sum);
                if (residual is not null) sum += residual.Row(m)[n];
                y.Row(m)[n] = sum;
            }
        });
    }

    /// <inheritdoc/>
    public void GatedActivation(Tensor destination, Tensor gateUp)
    {
        for (int r = 0; r < destination.Rows; r++)
        {
            Span<float> y = Of(destination).Row(r);
            ReadOnlySpan<float> gate = Of(gateUp).Row(r)[..y.Length], up = Of(gateUp).Row(r)[y.Length..];
            for (int i = 0; i < y.Length; i++) y[i] = ReferenceMath.Silu(gate[i]) * up[i];
        }
    }

    /// <inheritdoc/>
    public void Activate(Tensor destination, Tensor source, Activation activation)
    {
        Span<float> y = Of(destination).Span, x = Of(source).Span;
        for (int i = 0; i < y.Length; i++) y[i] = ReferenceMath.Apply(activation, x[i]);
    }

    /// <inheritdoc/>
    public void Embed(Tensor destination, Weight table, ReadOnlySpan<int> ids)
    {
        for (int i = 0; i < ids.Length; i++) ((ReferenceWeight)table).Row(ids[i]).CopyTo(Of(destination).Row(i));
    }

    /// <inheritdoc/>
    public int Argmax(Tensor logits)
    {
        ReadOnlySpan<float> row = Of(logits).Row(0);
        int best = 0;
        for (int i = 0; i < row.Length; i++)
        {
            if (float.IsNaN(row[i])) throw new LlavaSpException("the model computed NaN instead of logits: its weights are damaged or overflow their format");
            if (row[i] > row[best]) best = i;
        }

        return best;
    }

    /// <inheritdoc/>
    public void Dispose() { }

    private static ReferenceTensor Of(Tensor tensor) => (ReferenceTensor)tensor;
}
