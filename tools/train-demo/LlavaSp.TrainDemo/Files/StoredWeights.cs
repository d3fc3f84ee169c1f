using LlavaSp.Checkpoints;
using LlavaSp.TrainDemo.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace LlavaSp.TrainDemo.Files;

/// <summary>Tensors of TorchSharp in a checkpoint's files.</summary>
internal static class StoredWeights
{
    private const string Adapter = "adapter_config.json";

    /// <summary>All of a checkpoint's floating-point tensors under the names of merged checkpoints; an adapter's stay beside what they change.</summary>
    /// <exception cref="CheckpointException">A file is damaged.</exception>
    public static NamedWeights Read(ModelCheckpoint checkpoint)
    {
        var weights = new NamedWeights();
        ModelLocation location = checkpoint.Location;
        if (location.VisionTower is { } tower) Add(weights, tower, "model");
        string adapter = Path.Combine(location.Model, Adapter);
        if (!File.Exists(adapter))
        {
            Add(weights, location.Model, "model");
            return weights;
        }

        Add(weights, location.ModelBase!, "model");
        Add(weights, location.Model, "adapter_model");
        Add(weights, location.Model, "non_lora_trainables");
        JsonConfig config = JsonConfig.Load(adapter);
        weights.LoraScale = (float)(config.Positive("lora_alpha") / config.Int("r", high: 1 << 14));
        return weights;
    }

    /// <summary>All tensors of a checkpoint without files.</summary>
    public static NamedWeights ReadSynthetic(ModelCheckpoint checkpoint)
    {
        var weights = new NamedWeights();
        foreach (CatalogEntry entry in checkpoint.Catalog.Entries.Values)
            weights[NameMap.Published(entry.Name)] = Read(entry.Source, entry.Info, TypeOf(entry.Info.DType)!.Value);
        return weights;
    }

    /// <summary>One tensor, as float32.</summary>
    public static Tensor Read(ITensorSource source, string name)
    {
        TensorInfo info = source.Tensors[name];
        return Read(source, info, TypeOf(info.DType) ?? throw new LlavaSpException($"tensor {name} is {info.DType}, not floating-point"));
    }

    /// <summary>Writes one file of safetensors.</summary>
    /// <param name="path">The file; one that is there is replaced at the end.</param>
    /// <param name="tensors">Tensors by name.</param>
    /// <param name="type">How they are stored.</param>
    /// <exception cref="LlavaSpException">It cannot be written.</exception>
    public static void Write(string path, IEnumerable<KeyValuePair<string, Tensor>> tensors, DType type)
    {
        KeyValuePair<string, Tensor>[] all = [.. tensors.OrderBy(static pair => pair.Key, StringComparer.Ordinal)];
        using var writer = SafetensorsWriter.Create(
            path, [.. all.Select(pair => new TensorInfo(pair.Key, type, pair.Value.shape))], new Dictionary<string, string> { ["format"] = "pt" });
        foreach (var (name, tensor) in all)
        {
            using Tensor stored = tensor.detach().to(TypeOf(type)!.Value).contiguous();
            writer.Begin(name);
            writer.Write(stored.bytes);
        }

        writer.Complete();
    }

    private static void Add(NamedWeights weights, string folder, string stem)
    {
        using ITensorSource source = TensorFolder.Open(folder, stem);
        foreach (TensorInfo info in source.Tensors.Values)
        {
            if (TypeOf(info.DType) is { } type) weights[NameMap.Published(NameMap.Canonical(info.Name))] = Read(source, info, type);
        }
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
