using LlavaSp.Imaging;

namespace LlavaSp.Tests.Imaging;

/// <summary>Where tiles lie in a picture, read from pictures whose pixels say where they are.</summary>
public sealed class TileViewTests
{
    private const int Size = 336;

    private static readonly GridPinpoints Pinpoints = new([(336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008)], Size, "config.json");

    [Theory]
    [InlineData("pad", 640, 480)]
    [InlineData("pad", 300, 500)]
    [InlineData("pad", 97, 131)]
    [InlineData("square", 640, 480)]
    [InlineData("square", 300, 500)]
    [InlineData(null, 336, 336)]
    [InlineData("anyres", 640, 480)]
    [InlineData("anyres", 900, 320)]
    [InlineData("anyres", 300, 500)]
    public void EveryPixelOfATileIsWhereTheViewSays(string? mode, int width, int height)
    {
        var preprocessor = new ImagePreprocessor(PreprocessorConfig.ClipDefault(Size), mode, mode == "anyres" ? Pinpoints : null);
        PreparedImage prepared = preprocessor.Prepare(Ramps(width, height));
        int seen = 0;
        for (int tile = 0; tile < prepared.Pixels.Tiles; tile++)
        {
            TileView view = preprocessor.ViewOf(prepared, tile);
            for (int y = 4; y < Size; y += 8)
            {
                for (int x = 4; x < Size; x += 8)
                {
                    PictureRegion pixel = view.Region(x, y, x + 1, y + 1);
                    // The edge's own pixels are mixed with what is outside.
                    double margin = 3 * Math.Max(view.ScaleX, view.ScaleY);
                    if (pixel.Left < margin || pixel.Top < margin || pixel.Right > width - margin || pixel.Bottom > height - margin) continue;
                    // One step of 8 bits is so many pixels; the resizing adds as much as half a tile's pixel.
                    AssertNear((pixel.Left + pixel.Right) / 2, Value(tile, 0, x, y) * width / 255.0, (width / 255.0) + (0.6 * view.ScaleX));
                    AssertNear((pixel.Top + pixel.Bottom) / 2, Value(tile, 1, x, y) * height / 255.0, (height / 255.0) + (0.6 * view.ScaleY));
                    seen++;
                }
            }
        }

        Assert.InRange(seen, 300, int.MaxValue);

        byte Value(int tile, int channel, int x, int y) => prepared.Pixels.Pixels.Span[(((((tile * 3) + channel) * Size) + y) * Size) + x];
    }

    [Fact]
    public void AWholeTileOfAPaddedPictureReachesOverItsEdges()
    {
        var preprocessor = new ImagePreprocessor(PreprocessorConfig.ClipDefault(Size), "pad");
        TileView view = preprocessor.ViewOf(preprocessor.Prepare(Ramps(672, 336)), 0);
        Assert.Equal(new PictureRegion(0, -168, 672, 504), view.Region(0, 0, Size, Size));
    }

    // Red grows to the right, green downwards.
    private static RgbImage Ramps(int width, int height)
    {
        var pixels = new byte[width * height * 3];
        for (int i = 0; i < width * height; i++)
        {
            pixels[3 * i] = (byte)Math.Round(((i % width) + 0.5) * 255 / width);
            pixels[(3 * i) + 1] = (byte)Math.Round(((i / width) + 0.5) * 255 / height);
        }

        return new RgbImage(width, height, pixels);
    }

    private static void AssertNear(double expected, double actual, double tolerance) =>
        Assert.True(Math.Abs(expected - actual) <= tolerance, $"expected {expected}, was {actual}, tolerance {tolerance}");
}
