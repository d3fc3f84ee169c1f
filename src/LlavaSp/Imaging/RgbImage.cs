namespace LlavaSp.Imaging;

/// <summary>An 8-bit RGB picture, rows from top to bottom, pixels interleaved.</summary>
public sealed class RgbImage
{
    /// <summary>Wraps pixels without copying them.</summary>
    /// <param name="width">Pixels per row, at least 1.</param>
    /// <param name="height">Rows, at least 1.</param>
    /// <param name="pixels">[height, width, 3].</param>
    /// <exception cref="ArgumentException">The length is not 3 * width * height.</exception>
    public RgbImage(int width, int height, byte[] pixels)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        ArgumentNullException.ThrowIfNull(pixels);
        if (pixels.Length != 3L * width * height)
            throw new ArgumentException($"{pixels.Length} bytes are not {width} x {height} pixels", nameof(pixels));
        Width = width;
        Height = height;
        Pixels = pixels;
    }

    /// <summary>Pixels per row.</summary>
    public int Width { get; }

    /// <summary>Rows.</summary>
    public int Height { get; }

    /// <summary>[Height, Width, 3].</summary>
    public byte[] Pixels { get; }

    /// <summary>[Height, Width, 4]: the pixels with full opacity, as graphics libraries take them.</summary>
    public byte[] ToRgba()
    {
        var rgba = new byte[checked(4 * Width * Height)];
        for (int i = 0; i < Width * Height; i++)
        {
            Pixels.AsSpan(i * 3, 3).CopyTo(rgba.AsSpan(i * 4));
            rgba[(i * 4) + 3] = byte.MaxValue;
        }

        return rgba;
    }

    /// <summary>Row <paramref name="y"/>: [Width, 3].</summary>
    public ReadOnlySpan<byte> Row(int y) => Pixels.AsSpan(y * Width * 3, Width * 3);
}
