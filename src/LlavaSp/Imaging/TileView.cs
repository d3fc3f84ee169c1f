namespace LlavaSp.Imaging;

/// <summary>Where a tile lies in the picture that it was cut from, in pixels of the picture; it may reach over its edges.</summary>
/// <param name="Left">Left edge of the tile.</param>
/// <param name="Top">Top edge of the tile.</param>
/// <param name="ScaleX">Width of a tile's pixel.</param>
/// <param name="ScaleY">Height of a tile's pixel.</param>
public readonly record struct TileView(double Left, double Top, double ScaleX, double ScaleY)
{
    /// <summary>Where a rectangle of the tile, in the tile's pixels, lies in the picture.</summary>
    public PictureRegion Region(double left, double top, double right, double bottom) =>
        new(Left + (left * ScaleX), Top + (top * ScaleY), Left + (right * ScaleX), Top + (bottom * ScaleY));
}

/// <summary>A rectangle in pixels of a picture; it may reach over its edges, where the picture was padded.</summary>
/// <param name="Left">Left edge.</param>
/// <param name="Top">Top edge.</param>
/// <param name="Right">Right edge.</param>
/// <param name="Bottom">Bottom edge.</param>
public readonly record struct PictureRegion(double Left, double Top, double Right, double Bottom);
