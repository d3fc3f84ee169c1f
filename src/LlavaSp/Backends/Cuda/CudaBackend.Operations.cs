namespace LlavaSp.Backends.Cuda;

public sealed partial class CudaBackend
{
    /// <inheritdoc/>
    public Weight CreateWeight(WeightSource source, Quantization.WeightFormat format) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void Copy(Tensor destination, Tensor source) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void Gather(Tensor destination, Tensor source, ReadOnlySpan<int> rows) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void LayerNorm(Tensor destination, Tensor source, Tensor weight, Tensor bias, float epsilon) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void RmsNorm(Tensor destination, Tensor source, Tensor weight, float epsilon) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void GatedActivation(Tensor destination, Tensor gateUp) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void Activate(Tensor destination, Tensor source, Activation activation) => throw new NotSupportedException();

    /// <inheritdoc/>
    public void Embed(Tensor destination, Weight table, ReadOnlySpan<int> ids) => throw new NotSupportedException();

    /// <inheritdoc/>
    public int Argmax(Tensor logits) => throw new NotSupportedException();
}
