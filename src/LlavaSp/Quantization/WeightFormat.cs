using System.Globalization;

namespace LlavaSp.Quantization;

/// <summary>How the numbers of a weight matrix are stored.</summary>
public enum WeightKind
{
    /// <summary>float32.</summary>
    F32,

    /// <summary>IEEE half.</summary>
    F16,

    /// <summary>bfloat16.</summary>
    BF16,

    /// <summary>8-bit integers with one scale per group of a row.</summary>
    Int8,

    /// <summary>4-bit integers with one scale per group of a row.</summary>
    Int4,
}

/// <summary>Weight storage: the kind and, for integers, the group size (elements along a row that share a scale).</summary>
/// <param name="Kind">Storage of one element.</param>
/// <param name="GroupSize">32, 64 or 128 for integer kinds, else 0.</param>
public readonly record struct WeightFormat(WeightKind Kind, int GroupSize)
{
    /// <summary>float32.</summary>
    public static WeightFormat F32 => new(WeightKind.F32, 0);

    /// <summary>IEEE half.</summary>
    public static WeightFormat F16 => new(WeightKind.F16, 0);

    /// <summary>bfloat16.</summary>
    public static WeightFormat BF16 => new(WeightKind.BF16, 0);

    /// <summary>Group size of 8 bits when none is given. Shorter groups would hardly be more accurate, and every group costs a scaling in the products.</summary>
    public const int DefaultInt8Group = 128;

    /// <summary>Group size of 4 bits when none is given.</summary>
    public const int DefaultInt4Group = 64;

    /// <summary>Whether elements are integers with group scales.</summary>
    public bool IsInteger => Kind is WeightKind.Int8 or WeightKind.Int4;

    /// <summary>Integer format of 8 bits.</summary>
    public static WeightFormat Int8(int groupSize = DefaultInt8Group) => new(WeightKind.Int8, CheckGroup(groupSize));

    /// <summary>Integer format of 4 bits.</summary>
    public static WeightFormat Int4(int groupSize = DefaultInt4Group) => new(WeightKind.Int4, CheckGroup(groupSize));

    /// <summary>Bytes that one row of <paramref name="columns"/> elements takes, scales (IEEE half) included.</summary>
    public long RowBytes(long columns) => StoredRowBytes(columns) + 2 * Groups(columns);

    /// <summary>Bytes of the elements of one row in a checkpoint, without scales; the half byte behind an odd number of int4 elements included.</summary>
    public long StoredRowBytes(long columns) => Kind switch
    {
        WeightKind.F32 => 4 * columns,
        WeightKind.F16 or WeightKind.BF16 => 2 * columns,
        WeightKind.Int8 => columns,
        _ => (columns + 1) / 2,
    };

    /// <summary>Groups of a row; the last one may be shorter.</summary>
    public long Groups(long columns) => IsInteger ? (columns + GroupSize - 1) / GroupSize : 0;

    /// <summary>Reads <c>f32</c>, <c>f16</c>, <c>bf16</c>, <c>int8</c>, <c>int4</c>, or an integer kind with a group size: <c>int4:128</c>.</summary>
    /// <exception cref="LlavaSpException">The text names no format.</exception>
    public static WeightFormat Parse(string text)
    {
        string[] parts = text.Split(':');
        int group = 0;
        bool grouped = parts.Length == 2 && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out group);
        if (parts.Length == 1 || grouped)
        {
            switch (parts[0].ToLowerInvariant())
            {
                case "f32" when !grouped: return F32;
                case "f16" when !grouped: return F16;
                case "bf16" when !grouped: return BF16;
                case "int8": return grouped ? Int8(group) : Int8();
                case "int4": return grouped ? Int4(group) : Int4();
            }
        }

        throw new LlavaSpException($"unknown weight format '{text}': use f32, f16, bf16, int8 or int4 (int4:128 sets the group size: 32, 64 or 128)");
    }

    /// <inheritdoc/>
    public override string ToString() => Kind switch
    {
        WeightKind.Int8 => $"int8:{GroupSize}",
        WeightKind.Int4 => $"int4:{GroupSize}",
        _ => Kind.ToString().ToLowerInvariant(),
    };

    private static int CheckGroup(int groupSize) => groupSize is 32 or 64 or 128
        ? groupSize
        : throw new LlavaSpException($"unknown group size {groupSize}: use 32, 64 or 128");
}
