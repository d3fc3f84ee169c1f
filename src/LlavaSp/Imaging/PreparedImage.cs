using LlavaSp.Backends;

namespace LlavaSp.Imaging;

/// <summary>A picture as the vision tower takes it.</summary>
/// <param name="Pixels">8-bit tiles [tiles, 3, S, S] and the table that turns them into float32. Under anyres the whole picture is tile 0.</param>
/// <param name="OriginalWidth">Width of the decoded picture in pixels.</param>
/// <param name="OriginalHeight">Height of the decoded picture in pixels.</param>
/// <param name="Geometry">Where the picture lies in the grid; null without anyres.</param>
/// <param name="ContentHash">
/// SHA-256 (hex) over the tiles, the table and, under anyres, the picture's size: what all features depend on. Equal hashes mean equal features.
/// </param>
public sealed record PreparedImage(TilePixels Pixels, int OriginalWidth, int OriginalHeight, AnyresGeometry? Geometry, string ContentHash)
{
    /// <summary>Tiles side by side in the grid; 0 without anyres.</summary>
    public int GridWidth => Geometry?.GridWidth ?? 0;

    /// <summary>Tiles on top of each other in the grid; 0 without anyres.</summary>
    public int GridHeight => Geometry?.GridHeight ?? 0;

    /// <summary>The <c>pixel_values</c> of upstream: [tiles, 3, S, S] float32.</summary>
    public float[] ToPixelValues()
    {
        ReadOnlySpan<byte> bytes = Pixels.Pixels.Span;
        int plane = Pixels.Size * Pixels.Size;
        var values = new float[bytes.Length];
        for (int first = 0; first < bytes.Length; first += plane)
        {
            ReadOnlySpan<float> lookup = Pixels.Lookup.Span.Slice(first / plane % 3 * 256, 256);
            for (int i = first; i < first + plane; i++)
                values[i] = lookup[bytes[i]];
        }
        return values;
    }
}
