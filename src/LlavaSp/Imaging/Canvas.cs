namespace LlavaSp.Imaging;

/// <summary>
/// A picture laid on a canvas of one colour, without a copy: <c>Image.new</c> with <c>paste</c>, or <c>crop</c>, row by row. What reaches over the canvas
/// is cut off.
/// </summary>
internal readonly record struct Canvas(RgbImage Image, int Width, int Height, int Left, int Top, byte Red, byte Green, byte Blue)
{
    /// <summary>The picture alone.</summary>
    public static Canvas Of(RgbImage image) => new(image, image.Width, image.Height, 0, 0, 0, 0, 0);

    /// <summary>expand2square of llava/mm_utils.py: the picture in the middle of a square.</summary>
    public static Canvas Square(RgbImage image, byte red, byte green, byte blue)
    {
        int side = Math.Max(image.Width, image.Height);
        return new(image, side, side, (side - image.Width) / 2, (side - image.Height) / 2, red, green, blue);
    }

    /// <summary>Whether the picture hides all of the canvas.</summary>
    public bool IsCovered => Left <= 0 && Top <= 0 && Left + Image.Width >= Width && Top + Image.Height >= Height;

    /// <summary>Whether nothing of the picture lies in row <paramref name="y"/>.</summary>
    public bool IsBackground(int y) => y < Top || y - Top >= Image.Height || Left >= Width || Left + Image.Width <= 0;

    /// <summary>A row without the picture: [Width, 3].</summary>
    public byte[] BackgroundRow()
    {
        var row = new byte[checked(Width * 3)];
        for (int i = 0; i < row.Length; i += 3)
            (row[i], row[i + 1], row[i + 2]) = (Red, Green, Blue);
        return row;
    }

    /// <summary>
    /// Row <paramref name="y"/> [Width, 3], which holds some of the picture: written over <paramref name="scratch"/>, a <see cref="BackgroundRow"/> that may
    /// have served for other rows, unless the picture has the whole row as it is.
    /// </summary>
    public ReadOnlySpan<byte> Row(int y, Span<byte> scratch)
    {
        if (Left == 0 && Width == Image.Width)
            return Image.Row(y - Top);
        int first = Math.Max(0, -Left), last = Math.Min(Image.Width, Width - Left);
        Image.Row(y - Top)[(first * 3)..(last * 3)].CopyTo(scratch[((Left + first) * 3)..]);
        return scratch;
    }
}
