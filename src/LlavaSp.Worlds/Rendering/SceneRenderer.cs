using LlavaSp.Imaging;
using LlavaSp.Worlds.Scenes;

namespace LlavaSp.Worlds.Rendering;

/// <summary>Draws scenes: from back to front, each edge as wide as a pixel.</summary>
public static class SceneRenderer
{
    /// <summary>The side for which everything is laid out to be legible.</summary>
    public const int DefaultSide = 168;

    private const float Rim = 0.007f, RimShade = 0.55f;
    private const float StripePeriod = 0.5f, DotPeriod = 0.5f, DotRadius = 0.15f;
    private const float LargeGlyph = 0.096f, SmallGlyph = 0.068f, PaddingShare = 0.11f;
    private const int GlyphSamples = 4;

    /// <summary>A scene as a picture of side x side pixels, 16 or more. <see cref="IdMask"/> has its truth.</summary>
    public static RgbImage Render(Scene scene, int side = DefaultSide)
    {
        ArgumentNullException.ThrowIfNull(scene);
        ArgumentOutOfRangeException.ThrowIfLessThan(side, 16);
        var canvas = new Rgb[side * side];
        DrawBackground(scene.Background, canvas, side);
        foreach (SceneObject item in scene.Objects)
        {
            DrawObject(item, canvas, side);
            if (item.Mark is { } mark) DrawMark(item, mark, canvas, side);
        }

        return ToImage(canvas, scene.Background, side);
    }

    /// <summary>Height of what is written on an object, as a share of the picture's side.</summary>
    internal static float GlyphHeight(Size size) => size == Size.Large ? LargeGlyph : SmallGlyph;

    private static void DrawBackground(Background background, Rgb[] canvas, int side)
    {
        Rgb from = Tone(background.From), to = Tone(background.To);
        float weight = 1 / (Math.Abs(background.AcrossX) + Math.Abs(background.AcrossY) + 1e-6f);
        for (int y = 0; y < side; y++)
        {
            for (int x = 0; x < side; x++)
            {
                float u = ((x + 0.5f) / side) - 0.5f, v = ((y + 0.5f) / side) - 0.5f;
                float share = 0.5f + (((u * background.AcrossX) + (v * background.AcrossY)) * weight);
                canvas[(y * side) + x] = from.Under(to, share);
            }
        }
    }

    private static void DrawObject(SceneObject item, Rgb[] canvas, int side)
    {
        float pixels = item.Radius * side;
        Rgb main = Palette.Main(item.Colour).Times(item.Shade), second = Palette.Second(item.Colour).Times(item.Shade);
        Rgb rim = item.Colour == Colour.Black ? second : main.Times(RimShade);
        PixelBox box = PixelBox.Of(item, side);
        for (int y = box.Top; y < box.Bottom; y++)
        {
            for (int x = box.Left; x < box.Right; x++)
            {
                var (localX, localY) = Outline.ToLocal(item, (x + 0.5f) / side, (y + 0.5f) / side);
                float distance = Outline.Distance(item.Shape, localX, localY) * pixels;
                float coverage = Math.Clamp(0.5f - distance, 0, 1);
                if (coverage == 0) continue;
                Rgb tone = main.Under(second, Filling(item.Texture, localX, localY, pixels));
                tone = tone.Under(rim, Math.Clamp(0.5f + distance + (Rim * side), 0, 1));
                ref Rgb pixel = ref canvas[(y * side) + x];
                pixel = pixel.Under(tone, coverage);
            }
        }
    }

    // Share of the second tone; the pixel's size keeps edges a pixel wide.
    private static float Filling(Texture texture, float x, float y, float pixels)
    {
        switch (texture)
        {
            case Texture.Striped:
                float phase = Math.Abs(Fraction((x + y) / StripePeriod) - 0.5f);
                return Math.Clamp(0.5f + ((0.2f - phase) * StripePeriod * pixels * 0.7071f), 0, 1);
            case Texture.Dotted:
                float dx = (Fraction(x / DotPeriod) - 0.5f) * DotPeriod, dy = (Fraction(y / DotPeriod) - 0.5f) * DotPeriod;
                return Math.Clamp(0.5f + ((DotRadius - MathF.Sqrt((dx * dx) + (dy * dy))) * pixels), 0, 1);
            default:
                return 0;
        }
    }

    // On a plate of its own: legible on stripes and in every colour. Upright, whatever the object's tilt.
    private static void DrawMark(SceneObject item, char mark, Rgb[] canvas, int side)
    {
        float height = GlyphHeight(item.Size), padding = height * PaddingShare;
        float halfHeight = height / 2, halfWidth = halfHeight * Font.Columns / Font.Rows;
        bool dark = item.Colour is Colour.White or Colour.Yellow;
        Rgb plate = dark ? new Rgb(20, 20, 20) : new Rgb(245, 245, 245), ink = dark ? new Rgb(250, 250, 250) : new Rgb(10, 10, 10);
        PixelBox box = PixelBox.Of(item, side);
        for (int y = box.Top; y < box.Bottom; y++)
        {
            for (int x = box.Left; x < box.Right; x++)
            {
                float dx = ((x + 0.5f) / side) - item.X, dy = ((y + 0.5f) / side) - item.Y;
                float outside = Math.Max(Math.Abs(dx) - halfWidth - padding, Math.Abs(dy) - halfHeight - padding);
                float coverage = Math.Clamp(0.5f - (outside * side), 0, 1);
                if (coverage == 0) continue;
                int hits = 0;
                for (int s = 0; s < GlyphSamples * GlyphSamples; s++)
                {
                    float sx = dx + ((((s % GlyphSamples) + 0.5f) / GlyphSamples - 0.5f) / side);
                    float sy = dy + (((s / GlyphSamples) + 0.5f) / GlyphSamples - 0.5f) / side;
                    hits += Font.HasInk(mark, (sx + halfWidth) * Font.Rows / height, (sy + halfHeight) * Font.Rows / height) ? 1 : 0;
                }

                Rgb tone = plate.Under(ink, hits / (float)(GlyphSamples * GlyphSamples));
                ref Rgb pixel = ref canvas[(y * side) + x];
                pixel = pixel.Under(tone, coverage);
            }
        }
    }

    private static RgbImage ToImage(Rgb[] canvas, Background background, int side)
    {
        var pixels = new byte[canvas.Length * 3];
        for (int i = 0; i < canvas.Length; i++)
        {
            float noise = Noise(background, i);
            pixels[3 * i] = ToByte(canvas[i].R + noise);
            pixels[(3 * i) + 1] = ToByte(canvas[i].G + noise);
            pixels[(3 * i) + 2] = ToByte(canvas[i].B + noise);
        }

        return new RgbImage(side, side, pixels);
    }

    // A camera's noise lies over everything, not only over the background.
    private static float Noise(Background background, int pixel)
    {
        uint bits = unchecked(((uint)pixel * 0x9E3779B1u) ^ background.NoiseSeed);
        bits = unchecked((bits ^ (bits >> 15)) * 0x85EBCA77u);
        bits = unchecked((bits ^ (bits >> 13)) * 0xC2B2AE3Du);
        return background.Noise * ((((bits >> 16) ^ bits) & 0xFFFF) / 32768f - 1);
    }

    private static Rgb Tone(int rgb) => new((rgb >> 16) & 255, (rgb >> 8) & 255, rgb & 255);

    private static float Fraction(float value) => value - MathF.Floor(value);

    private static byte ToByte(float value) => (byte)Math.Clamp((int)(value + 0.5f), 0, 255);
}
