namespace LlavaSp.Checkpoints;

/// <summary>
/// Every global that may be named in a checkpoint, and what calling it means here. Nothing is looked up in Python or executed:
/// a name that is not in this file is refused.
/// </summary>
internal static class TorchGlobals
{
    private const string OrderedDict = "collections.OrderedDict", Encode = "_codecs.encode", Size = "torch.Size", Device = "torch.device";
    private const string RebuildTensor = "torch._utils._rebuild_tensor_v2";
    private const string RebuildParameter = "torch._utils._rebuild_parameter";
    private const string RebuildParameterWithState = "torch._utils._rebuild_parameter_with_state";

    private static readonly Dictionary<string, DType> s_storages = new()
    {
        ["torch.FloatStorage"] = DType.F32,
        ["torch.HalfStorage"] = DType.F16,
        ["torch.BFloat16Storage"] = DType.BF16,
        ["torch.DoubleStorage"] = DType.F64,
        ["torch.CharStorage"] = DType.I8,
        ["torch.ByteStorage"] = DType.U8,
        ["torch.ShortStorage"] = DType.I16,
        ["torch.IntStorage"] = DType.I32,
        ["torch.LongStorage"] = DType.I64,
        ["torch.BoolStorage"] = DType.Bool,
    };

    private static readonly HashSet<string> s_known =
    [
        OrderedDict, Encode, Size, Device, RebuildTensor, RebuildParameter, RebuildParameterWithState, .. s_storages.Keys,
        // dtypes as values, e.g. a torch_dtype beside the weights
        "torch.float64", "torch.float32", "torch.float16", "torch.bfloat16",
        "torch.int64", "torch.int32", "torch.int16", "torch.int8", "torch.uint8", "torch.bool",
    ];

    /// <summary>The global, or null when checkpoints have no business with it.</summary>
    public static PickleGlobal? Find(string name) => s_known.TryGetValue(name, out string? known) ? new PickleGlobal(known) : null;

    /// <summary>The storage that a persistent id <c>('storage', type, key, location, elements)</c> names; null for any other id.</summary>
    public static TorchStorage? Storage(object? id) =>
        id is PickleContainer { Kind: ContainerKind.Tuple, Items: ["storage", PickleGlobal type, string key, string, long elements] }
        && s_storages.TryGetValue(type.Name, out DType dtype)
            ? new TorchStorage(dtype, key, elements)
            : null;

    /// <summary>
    /// The value of a call; null when the arguments are not those that torch.save writes. No call may copy something of unbounded size:
    /// a pickle can repeat it at the cost of a few bytes.
    /// </summary>
    public static object? Call(PickleGlobal function, List<object?> arguments) => (function.Name, arguments) switch
    {
        (RebuildTensor, [TorchStorage storage, long offset, PickleContainer shape, PickleContainer strides, bool, _, ..])
            when arguments.Count <= 7 && Integers(shape) is { } sizes && Integers(strides) is { } steps =>
            new TorchTensor(storage, offset, sizes, steps),
        (RebuildParameter, [TorchTensor tensor, bool, _]) => tensor,
        (RebuildParameterWithState, [TorchTensor tensor, bool, _, _]) => tensor,
        (OrderedDict, []) => new PickleContainer(ContainerKind.Dict, []),
        (Size, [PickleContainer { Kind: ContainerKind.Tuple } sizes]) => sizes,
        (Device, [string] or [string, long]) => PickleOpaque.Instance,
        (Encode, [string, string]) => PickleOpaque.Instance, // bytes in protocol 2
        _ => null,
    };

    private static long[]? Integers(PickleContainer container) =>
        container.Kind == ContainerKind.Tuple && container.Items.Count <= TensorShape.MaxRank && container.Items.All(item => item is long)
            ? [.. container.Items.Cast<long>()]
            : null;
}
