using LlavaSp.Quantization;

namespace LlavaSp.Backends.Cuda;

/// <summary>What benchmarks of single kernels need: the launches of an operation without carrying it out, and weights without values.</summary>
public sealed partial class CudaBackend
{
    // A small positive number as a half and as a float32, and harmless integers of 4 and 8 bits.
    private const uint Filling = 0x2c2c2c2c;

    /// <summary>Whether <see cref="CreateWeight"/> only allocates: its source is not read. What is moved stays the same.</summary>
    internal bool LeavesWeightsEmpty { get; set; }

    /// <summary>
    /// The launches of operations, in order, none of them made. What the operations freed stays as it is until <see cref="EndRecording"/>, so that the launches
    /// can be made afterwards. Operations that wait for a result have no place here.
    /// </summary>
    internal IReadOnlyList<RecordedLaunch> Record(Action operations)
    {
        var launches = new List<RecordedLaunch>();
        _device.Pool.KeepFreed = true;
        _device.Recorded = launches;
        try
        {
            operations();
        }
        catch
        {
            EndRecording();
            throw;
        }
        finally
        {
            _device.Recorded = null;
        }

        return launches;
    }

    /// <summary>Gives back what the recorded operations freed: their launches must not be made any more.</summary>
    internal void EndRecording() => _device.Pool.KeepFreed = false;

    /// <summary>A matrix of one repeated number, whatever its format.</summary>
    internal CudaWeight CreateEmptyWeight(long rows, long columns, WeightFormat format, bool int8Mma)
    {
        string what = $"a matrix [{rows}, {columns}] in {format}";
        DeviceBlock packed = _device.Allocate(CudaWeight.PackedBytes(rows, columns, format.Kind), what);
        _device.Fill(packed.Address, Filling, packed.Bytes / sizeof(uint));
        if (!format.IsInteger) return new CudaWeight(rows, columns, format, int8Mma, packed, null);
        DeviceBlock scales = _device.Allocate(CudaWeight.ScaleBytes(rows, columns, format), what);
        _device.Fill(scales.Address, Filling, scales.Bytes / sizeof(uint));
        return new CudaWeight(rows, columns, format, int8Mma, packed, scales);
    }

    /// <summary>A tensor of one repeated number.</summary>
    internal CudaTensor CreateFilledTensor(int rows, int columns, Precision precision = Precision.Full)
    {
        CudaTensor tensor = Of(CreateTensor(rows, columns, precision));
        _device.Fill(tensor.Address, Filling, (long)rows * tensor.Stride * tensor.ElementBytes / sizeof(uint));
        return tensor;
    }
}
