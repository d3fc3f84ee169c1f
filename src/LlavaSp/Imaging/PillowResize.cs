using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace LlavaSp.Imaging;

/// <summary>
/// Pillow's <c>Image.resize(size, BICUBIC)</c> on 8-bit RGB, bit for bit (libImaging/Resample.c): anti-aliased, weights in 8-bit fixed point with 22
/// fractional bits, a horizontal pass rounded to 8 bits, then a vertical one; a pass that changes nothing is left out.
/// </summary>
public static class PillowResize
{
    private const int Half = 1 << (BicubicFilter.PrecisionBits - 1);

    // Below this number of multiplications threads cost more than they bring.
    private const long ParallelThreshold = 1 << 20;

    /// <summary>The picture at width x height.</summary>
    /// <exception cref="ArgumentOutOfRangeException">An edge below 1, or more pixels than an array holds.</exception>
    public static RgbImage Resize(RgbImage image, int width, int height)
    {
        ArgumentNullException.ThrowIfNull(image);
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(3L * width * Math.Max(height, image.Height), Array.MaxLength, nameof(width));
        return new RgbImage(width, height, Resize(Canvas.Of(image), width, height, 0, 0, width, height));
    }

    /// <summary>
    /// The window (left, top, columns, rows) of the canvas resized to width x height: [rows, columns, 3]. Only what the window needs is computed.
    /// </summary>
    internal static byte[] Resize(Canvas canvas, int width, int height, int left, int top, int columns, int rows)
    {
        BicubicFilter? vertical = height == canvas.Height ? null : new BicubicFilter(canvas.Height, height, top, rows);
        int firstRow = vertical?.FirstInput ?? top;
        int lastRow = vertical?.LastInput ?? top + rows;
        byte[] narrow = ResizeRows(canvas, width, left, columns, firstRow, lastRow);
        return vertical is null ? narrow : ResizeColumns(narrow, vertical, firstRow, columns, rows);
    }

    /// <summary>Rows firstRow to lastRow - 1 of the canvas, resized horizontally: [lastRow - firstRow, columns, 3].</summary>
    private static byte[] ResizeRows(Canvas canvas, int width, int left, int columns, int firstRow, int lastRow)
    {
        BicubicFilter? filter = width == canvas.Width ? null : new BicubicFilter(canvas.Width, width, left, columns);
        byte[] result = GC.AllocateUninitializedArray<byte>(checked((lastRow - firstRow) * columns * 3));

        // What shows none of the picture is computed once.
        byte[]? background = null;
        if (!canvas.IsCovered)
            ResizeRow(canvas.BackgroundRow(), filter, left, 0, columns, background = new byte[columns * 3]);
        (int first, int last) = filter is null ? (0, columns) : filter.OutputsOf(canvas.Left, canvas.Left + canvas.Image.Width);

        long work = (long)(lastRow - firstRow) * (last - first) * (filter?.Taps ?? 1);
        For(firstRow, lastRow, work, canvas.BackgroundRow, (y, scratch) =>
        {
            Span<byte> destination = result.AsSpan((y - firstRow) * columns * 3, columns * 3);
            background.CopyTo(destination);
            if (!canvas.IsBackground(y))
                ResizeRow(canvas.Row(y, scratch), filter, left, first, last, destination);
        });
        return result;
    }

    /// <summary>Columns first to last - 1 of the window that starts at <paramref name="left"/>, of one row.</summary>
    private static void ResizeRow(ReadOnlySpan<byte> row, BicubicFilter? filter, int left, int first, int last, Span<byte> destination)
    {
        if (filter is null)
        {
            row[((left + first) * 3)..((left + last) * 3)].CopyTo(destination[(first * 3)..]);
            return;
        }
        for (int x = first; x < last; x++)
        {
            ReadOnlySpan<int> weights = filter.Weights(x);
            ReadOnlySpan<byte> pixels = row.Slice(filter.Start(x) * 3, weights.Length * 3);
            var sum = Vector128.Create(Half);

            // Four bytes at a time, the fourth of which is ignored; the last pixel has no fourth.
            int lastTap = weights.Length - 1;
            for (int i = 0; i < lastTap; i++)
            {
                Vector128<byte> pixel = Vector128.CreateScalar(MemoryMarshal.Read<uint>(pixels[(i * 3)..])).AsByte();
                sum += Vector128.WidenLower(Vector128.WidenLower(pixel)).AsInt32() * weights[i];
            }
            sum += Vector128.Create(pixels[lastTap * 3], pixels[(lastTap * 3) + 1], pixels[(lastTap * 3) + 2], 0) * weights[lastTap];

            destination[x * 3] = Clip(sum[0]);
            destination[(x * 3) + 1] = Clip(sum[1]);
            destination[(x * 3) + 2] = Clip(sum[2]);
        }
    }

    /// <summary>Vertical pass over rows that start at input row <paramref name="firstRow"/>: [rows, columns, 3].</summary>
    private static byte[] ResizeColumns(byte[] source, BicubicFilter filter, int firstRow, int columns, int rows)
    {
        int stride = columns * 3;
        byte[] result = GC.AllocateUninitializedArray<byte>(checked(rows * stride));
        For(0, rows, (long)rows * stride * filter.Taps, () => new int[stride], (y, sums) =>
        {
            Array.Fill(sums, Half);
            ReadOnlySpan<int> weights = filter.Weights(y);
            int start = filter.Start(y) - firstRow;
            for (int i = 0; i < weights.Length; i++)
            {
                ReadOnlySpan<byte> row = source.AsSpan((start + i) * stride, stride);
                int weight = weights[i];
                for (int x = 0; x < row.Length; x++)
                    sums[x] += row[x] * weight;
            }
            Span<byte> destination = result.AsSpan(y * stride, stride);
            for (int x = 0; x < destination.Length; x++)
                destination[x] = Clip(sums[x]);
        });
        return result;
    }

    private static byte Clip(int sum) => (byte)Math.Clamp(sum >> BicubicFilter.PrecisionBits, 0, 255);

    private static void For<T>(int first, int last, long work, Func<T> createScratch, Action<int, T> body)
    {
        if (work >= ParallelThreshold)
        {
            Parallel.For(first, last, createScratch, (y, _, scratch) =>
            {
                body(y, scratch);
                return scratch;
            }, _ => { });
            return;
        }
        T own = createScratch();
        for (int y = first; y < last; y++)
            body(y, own);
    }
}
