using TorchSharp;
using static TorchSharp.torch;

namespace LlavaSp.TrainDemo.Model;

/// <summary>Tensors by their published names; a linear may have a LoRA adapter beside it.</summary>
internal sealed class NamedWeights
{
    /// <summary>Suffixes of an adapter, behind the name of its module.</summary>
    public const string LoraA = "lora_A.weight", LoraB = "lora_B.weight";

    private readonly SortedDictionary<string, Tensor> _tensors = new(StringComparer.Ordinal);

    /// <summary>What the product of an adapter is multiplied with: lora_alpha / r.</summary>
    public float LoraScale { get; set; } = 1;

    /// <summary>Whether products are computed in bfloat16, as training usually is, instead of in float32.</summary>
    public bool IsBrief { get; set; }

    /// <summary>All, by name.</summary>
    public IReadOnlyDictionary<string, Tensor> All => _tensors;

    /// <exception cref="KeyNotFoundException">There is no such tensor.</exception>
    public Tensor this[string name]
    {
        get => _tensors.TryGetValue(name, out Tensor? tensor) ? tensor : throw new KeyNotFoundException($"the model has no tensor {name}");
        set => _tensors[name] = value;
    }

    /// <summary>Whether there is one.</summary>
    public bool Has(string name) => _tensors.ContainsKey(name);

    /// <summary>The same weights in the same memory, as leaves of a graph of their own.</summary>
    /// <param name="learns">Whether a weight is to have a gradient.</param>
    public NamedWeights Replica(Func<string, bool> learns)
    {
        var replica = new NamedWeights { LoraScale = LoraScale };
        foreach (var (name, tensor) in _tensors) replica[name] = tensor.detach().requires_grad_(learns(name));
        return replica;
    }

    /// <summary>Takes one away.</summary>
    public void Remove(string name) => _tensors.Remove(name);

    /// <summary>y = x W^T + b + scale (x A^T) B^T, where bias and adapter are there. x [..., in], y [..., out].</summary>
    public Tensor Linear(string module, Tensor x) =>
        Adapted(module, x, Product(x, this[$"{module}.weight"], Has($"{module}.bias") ? this[$"{module}.bias"] : null));

    /// <summary>y = x (f W)^T + g b of a module without an adapter.</summary>
    public Tensor Linear(string module, Tensor x, float f, float g = 1)
    {
        using Scalar ofWeight = f, ofBias = g;
        Tensor bias = this[$"{module}.bias"];
        return Product(x, this[$"{module}.weight"] * ofWeight, g == 1 ? bias : bias * ofBias);
    }

    /// <summary>What <see cref="Linear(string, Tensor)"/> gives of several modules, with one product, which is faster than one for each.</summary>
    public Tensor[] Linear(string[] modules, Tensor x)
    {
        Tensor[] weights = [.. modules.Select(module => this[$"{module}.weight"])];
        Tensor? bias = Has($"{modules[0]}.bias") ? cat([.. modules.Select(module => this[$"{module}.bias"])], 0) : null;
        Tensor[] parts = Product(x, cat(weights, 0), bias).split([.. weights.Select(weight => weight.shape[0])], -1);
        return [.. modules.Zip(parts, (module, part) => Adapted(module, x, part))];
    }

    /// <summary>What a product or an attention takes: bfloat16 where <see cref="IsBrief"/>.</summary>
    public Tensor Operand(Tensor x) => IsBrief ? x.to(ScalarType.BFloat16) : x;

    /// <summary>LayerNorm over the last dimension.</summary>
    public Tensor LayerNorm(string module, Tensor x, float epsilon) =>
        nn.functional.layer_norm(x, [x.shape[^1]], this[$"{module}.weight"], this[$"{module}.bias"], epsilon);

    private Tensor Product(Tensor x, Tensor weight, Tensor? bias) =>
        nn.functional.linear(Operand(x), Operand(weight), bias is null ? null : Operand(bias)).to(ScalarType.Float32);

    private Tensor Adapted(string module, Tensor x, Tensor y)
    {
        if (!Has($"{module}.{LoraA}")) return y;
        using Scalar scale = LoraScale;
        return y + Product(Product(x, this[$"{module}.{LoraA}"], null), this[$"{module}.{LoraB}"], null) * scale;
    }
}
