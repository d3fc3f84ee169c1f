using LlavaSp.Quantization;

namespace LlavaSp.Backends.Cuda;

/// <summary>
/// A weight matrix in device memory, in the order of the tensor cores' operands (kernels/README.md, Weights), and its scales.
/// </summary>
internal sealed class CudaWeight : Weight
{
    private readonly DeviceBlock _packed;
    private readonly DeviceBlock? _scales;

    internal CudaWeight(long rows, long columns, WeightFormat format, bool int8Mma, DeviceBlock packed, DeviceBlock? scales)
    {
        Rows = rows;
        Columns = columns;
        Format = format;
        Int8Mma = int8Mma;
        _packed = packed;
        _scales = scales;
        (RowTiles, ColumnTiles) = Tiles(rows, columns);
    }

    public override long Rows { get; }

    public override long Columns { get; }

    public override WeightFormat Format { get; }

    public override long ByteLength => _packed.Bytes + (_scales?.Bytes ?? 0);

    /// <summary>F16, BF16, Int8 or Int4.</summary>
    public WeightKind Kind => Format.Kind;

    /// <summary>Element type of what this weight is multiplied with on the tensor cores; integers are widened to f16.</summary>
    public Element Operand => Kind == WeightKind.BF16 ? Element.BF16 : Element.F16;

    /// <summary>Columns that share a scale; 0 for f16 and bf16.</summary>
    public int GroupSize => Format.GroupSize;

    /// <summary>Groups of a row in memory: those of the columns rounded up to 64.</summary>
    public int Groups => GroupsOf(Columns, Format);

    /// <summary>Tiles of 16 rows.</summary>
    public int RowTiles { get; }

    /// <summary>Tiles of 16 columns, a multiple of 4.</summary>
    public int ColumnTiles { get; }

    /// <summary>Whether 8-bit integers lie in the order of the integer tensor cores, for 8-bit activations.</summary>
    public bool Int8Mma { get; }

    /// <summary>Number of the order of the tiles, among those of <see cref="EachLayout"/>.</summary>
    public int Layout => Kind switch
    {
        WeightKind.F16 => 0,
        WeightKind.BF16 => 4,
        WeightKind.Int4 => 3,
        _ => Int8Mma ? 2 : 1,
    };

    /// <summary>The tiles; valid while this object is not disposed.</summary>
    public ulong Packed => _packed.Address;

    /// <summary>The scales [RowTiles, Groups, 8] pairs of halves; 0 for f16 and bf16.</summary>
    public ulong Scales => _scales?.Address ?? 0;

    /// <summary>One kernel for each order of the tiles, found by the end of its name.</summary>
    public static T[] EachLayout<T>(Func<string, T> find, bool bf16 = false) =>
        [find("f16"), find("int8"), find("int8mma"), find("int4"), .. bf16 ? [find("bf16")] : Array.Empty<T>()];

    /// <summary>Tiles of a matrix.</summary>
    public static (int RowTiles, int ColumnTiles) Tiles(long rows, long columns) => ((int)((rows + 15) / 16), (int)((columns + 63) / 64 * 4));

    /// <summary>Groups of a row in memory.</summary>
    public static int GroupsOf(long columns, WeightFormat format) => format.IsInteger ? (int)format.Groups((columns + 63) / 64 * 64) : 0;

    /// <summary>Bytes of the tiles.</summary>
    public static long PackedBytes(long rows, long columns, WeightKind kind)
    {
        (int rowTiles, int columnTiles) = Tiles(rows, columns);
        long f16 = 512L * rowTiles * columnTiles;
        return kind switch
        {
            WeightKind.F16 or WeightKind.BF16 => f16,
            WeightKind.Int8 => f16 / 2,
            _ => f16 / 4,
        };
    }

    /// <summary>Bytes of the scales.</summary>
    public static long ScaleBytes(long rows, long columns, WeightFormat format) => 32L * Tiles(rows, columns).RowTiles * GroupsOf(columns, format);

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _packed.Dispose();
            _scales?.Dispose();
        }

        base.Dispose(disposing);
    }
}
