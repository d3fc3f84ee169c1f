namespace LlavaSp.Checkpoints;

/// <summary>What reader and writer of safetensors share.</summary>
internal static class SafetensorsFormat
{
    /// <summary>Longest header that is read or written, the limit of the reference implementation.</summary>
    public const int MaxHeader = 100_000_000;

    /// <summary>Key of the free-form strings in the header.</summary>
    public const string MetadataKey = "__metadata__";

    /// <summary>The type under the name that the header uses.</summary>
    public static bool TryParse(string text, out DType dtype)
    {
        foreach (DType candidate in Enum.GetValues<DType>())
        {
            if (Name(candidate) != text) continue;
            dtype = candidate;
            return true;
        }
        dtype = default;
        return false;
    }

    /// <summary>The name that the header uses.</summary>
    public static string Name(DType dtype) => dtype switch
    {
        DType.F32 => "F32",
        DType.F16 => "F16",
        DType.BF16 => "BF16",
        DType.F64 => "F64",
        DType.I8 => "I8",
        DType.U8 => "U8",
        DType.I16 => "I16",
        DType.I32 => "I32",
        DType.I64 => "I64",
        DType.Bool => "BOOL",
        _ => throw new ArgumentOutOfRangeException(nameof(dtype), dtype, null),
    };
}
