namespace LlavaSp.Imaging;

/// <summary>Turns a picture upright (EXIF 2.3, tag 0x0112), as PIL.ImageOps.exif_transpose does.</summary>
internal static class ExifOrientation
{
    /// <summary>
    /// The upright picture. The tag names the sides at which row 0 and column 0 of the stored picture belong: 1 top left, 2 top right, 3 bottom right,
    /// 4 bottom left, 5 left top, 6 right top, 7 right bottom, 8 left bottom; any other value is taken for 1.
    /// </summary>
    public static RgbImage Apply(RgbImage image, int orientation)
    {
        if (orientation is < 2 or > 8)
            return image;
        int width = image.Width, height = image.Height;
        bool transposed = orientation >= 5;
        int columns = transposed ? height : width, rows = transposed ? width : height;
        bool flipX = orientation is 2 or 3 or 7 or 8, flipY = orientation is 3 or 4 or 6 or 7;

        byte[] source = image.Pixels, upright = GC.AllocateUninitializedArray<byte>(source.Length);
        for (int y = 0, to = 0; y < rows; y++)
        {
            for (int x = 0; x < columns; x++, to += 3)
            {
                (int sx, int sy) = transposed ? (y, x) : (x, y);
                int from = (((flipY ? height - 1 - sy : sy) * width) + (flipX ? width - 1 - sx : sx)) * 3;
                upright[to] = source[from];
                upright[to + 1] = source[from + 1];
                upright[to + 2] = source[from + 2];
            }
        }
        return new RgbImage(columns, rows, upright);
    }
}
