using LlavaSp.Checkpoints;
using LlavaSp.TrainDemo.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace LlavaSp.TrainDemo.Oracle;

/// <summary>Reads a checkpoint's tensors for TorchSharp, as float32.</summary>
internal static class StoredWeights
{
    /// <summary>All of the folder's floating-point tensors, by their names.</summary>
    /// <exception cref="CheckpointException">There is no checkpoint, or it is damaged.</exception>
    public static NamedWeights Read(string folder)
    {
        var weights = new NamedWeights();
        using ITensorSource source = TensorFolder.Open(folder, "model");
        foreach (TensorInfo info in source.Tensors.Values)
        {
            if (TypeOf(info.DType) is { } type) weights[info.Name] = Read(source, info, type);
        }

        return weights;
    }

    /// <summary>One tensor, as float32.</summary>
    public static Tensor Read(ITensorSource source, string name)
    {
        TensorInfo info = source.Tensors[name];
        return Read(source, info, TypeOf(info.DType) ?? throw new LlavaSpException($"tensor {name} is {info.DType}, not floating-point"));
    }

    private static Tensor Read(ITensorSource source, TensorInfo info, ScalarType type)
    {
        Tensor stored = empty(info.Shape, type);
        source.GetBytes(info.Name).CopyTo(stored.bytes);
        return stored.to(ScalarType.Float32);
    }

    private static ScalarType? TypeOf(DType type) => type switch
    {
        DType.F16 => ScalarType.Float16,
        DType.BF16 => ScalarType.BFloat16,
        DType.F32 => ScalarType.Float32,
        _ => null,
    };
}
