using System.Runtime.InteropServices;
using LlavaSp.Quantization;

namespace LlavaSp.Backends.Cuda;

public sealed partial class CudaBackend
{
    private DeviceBlock? _ids;
    private WeightPacker? _packer;

    /// <summary>Kernels that go row by row.</summary>
    internal RowKernels Rows => field ??= new RowKernels(_device, _module);

    private SamplingKernels Sampling => field ??= new SamplingKernels(_module);

    /// <inheritdoc/>
    public Weight CreateWeight(WeightSource source, WeightFormat format)
    {
        _device.Pool.Reclaim();
        if (LeavesWeightsEmpty) return CreateEmptyWeight(source.Rows, source.Columns, format, HasInt8MmaLayout(format));
        _packer ??= new WeightPacker(_device, _module, _options.Threads);
        return _packer.Pack(source, format, HasInt8MmaLayout(format));
    }

    /// <inheritdoc/>
    public void Copy(Tensor destination, Tensor source)
    {
        CudaTensor y = Of(destination), x = Of(source);
        Require(y.Rows == x.Rows && y.Columns == x.Columns, "source and destination differ in size");
        Rows.Copy(y, x, 0);
        Keep(destination, source);
    }

    /// <inheritdoc/>
    public void Gather(Tensor destination, Tensor source, ReadOnlySpan<int> rows)
    {
        CudaTensor y = Of(destination), x = Of(source);
        Require(y.Rows == rows.Length && y.Columns == x.Columns, "destination is not [rows, columns of the source]");
        foreach (int row in rows) Require((uint)row < (uint)x.Rows, "a row is outside of the source");
        if (rows.IsEmpty) return;
        Rows.Copy(y, x, Upload(rows));
        Keep(destination, source);
    }

    /// <inheritdoc/>
    public void LayerNorm(Tensor destination, Tensor source, Tensor weight, Tensor bias, float epsilon)
    {
        CudaTensor b = Of(bias);
        Require(b is { Rows: 1, Element: Element.F32 } && b.Columns == source.Columns, "bias is not [1, columns] float32");
        Norm(destination, source, weight, b, epsilon);
    }

    /// <inheritdoc/>
    public void RmsNorm(Tensor destination, Tensor source, Tensor weight, float epsilon) => Norm(destination, source, weight, null, epsilon);

    /// <inheritdoc/>
    public void GatedActivation(Tensor destination, Tensor gateUp)
    {
        CudaTensor y = Of(destination), x = Of(gateUp);
        Require(y.Rows == x.Rows && x.Columns == 2L * y.Columns, "gate and up are not [rows, 2 * columns]");
        Rows.Gate(y, x);
        Keep(destination, gateUp);
    }

    /// <inheritdoc/>
    public void Activate(Tensor destination, Tensor source, Activation activation)
    {
        CudaTensor y = Of(destination), x = Of(source);
        Require(y.Rows == x.Rows && y.Columns == x.Columns, "source and destination differ in size");
        Rows.Activate(y, x, activation);
        Keep(destination, source);
    }

    /// <inheritdoc/>
    public void Embed(Tensor destination, Weight table, ReadOnlySpan<int> ids)
    {
        CudaTensor y = Of(destination);
        CudaWeight w = Of(table);
        Require(w.Kind is WeightKind.F16 or WeightKind.BF16, "the table is not f16 or bf16");
        Require(HoldsOperand(y, w), "destination is neither float32 nor of the table's type");
        Require(y.Rows == ids.Length && y.Columns == w.Columns, "destination is not [ids, columns of the table]");
        foreach (int id in ids) Require(id >= 0 && id < w.Rows, "an id is outside of the table");
        if (ids.IsEmpty) return;
        Rows.Embed(y, w, Upload(ids));
        Keep(destination, table);
    }

    /// <inheritdoc/>
    public int Argmax(Tensor logits)
    {
        CudaTensor x = Of(logits);
        Require(x is { Rows: 1, Element: Element.F32 }, "logits are not one row of float32");
        ulong result = Rows.Argmax(x, Scratch(RowKernels.ArgmaxBytes));
        Keep(logits, null);
        int index = MemoryMarshal.Read<int>(_device.Fetch(result, sizeof(int)));
        return index >= 0
            ? index
            : throw new LlavaSpException("the model computed NaN instead of logits: its weights are damaged or overflow their format");
    }

    /// <inheritdoc/>
    public DeviceSampler CreateSampler(SamplingRule rule, int vocabulary)
    {
        ArgumentNullException.ThrowIfNull(rule);
        ArgumentOutOfRangeException.ThrowIfLessThan(vocabulary, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(vocabulary, SamplingKernels.MostTokens);
        _device.Pool.Reclaim();
        return new CudaSampler(_device, Sampling, rule, vocabulary);
    }

    private void Norm(Tensor destination, Tensor source, Tensor weight, CudaTensor? bias, float epsilon)
    {
        CudaTensor y = Of(destination), x = Of(source), w = Of(weight);
        Require(y.Rows == x.Rows && y.Columns == x.Columns, "source and destination differ in size", nameof(Norm));
        Require(w is { Rows: 1, Element: Element.F32 } && w.Columns == x.Columns, "weight is not [1, columns] float32", nameof(Norm));
        Rows.Norm(y, x, w, bias, epsilon);
        Keep(destination, source, weight, bias);
    }

    /// <summary>Numbers of rows on the device, until the next operation that uploads some.</summary>
    private ulong Upload(ReadOnlySpan<int> ids)
    {
        // The copy would be made before the step's launches, the next one over it.
        if (_device.Step is not null) throw new InvalidOperationException("row numbers do not belong into a step that is recorded");
        if (_ids is null || _ids.Bytes < ids.Length * sizeof(int))
        {
            _ids?.Dispose();
            _ids = null;
            _ids = _device.Allocate(Math.Max(ids.Length * sizeof(int), 4096), "row numbers");
        }

        _device.Upload(_ids.Address, ids);
        return _ids.Address;
    }
}
