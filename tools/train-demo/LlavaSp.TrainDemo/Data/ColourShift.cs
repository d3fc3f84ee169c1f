using LlavaSp.Imaging;
using LlavaSp.Worlds.Rendering;
using LlavaSp.Worlds.Scenes;

namespace LlavaSp.TrainDemo.Data;

/// <summary>
/// Other colours for a whole picture, or none. Of pictures in the world's colours alone, a model learns that a colour excludes the shape that training never
/// shows with it; shapes are to be learned whatever the colour.
/// </summary>
internal static class ColourShift
{
    private const int Tries = 20;

    // Between hues: 40 degrees. In steps of 8 bits: below which chroma a tone is a grey, and from where on greys are white or black.
    private const float Apart = 0.7f, LeastChroma = 20, LeastWhite = 165, MostBlack = 90;

    private const float Third = 1f / 3;

    /// <summary>The picture without colours.</summary>
    public static (RgbImage Picture, PictureColours Colours) Grey(RgbImage picture) => (Map(picture, static tone =>
    {
        float grey = (tone.R + tone.G + tone.B) * Third;
        return new Rgb(grey, grey, grey);
    }), PictureColours.Greys);

    /// <summary>
    /// The picture in colours drawn by lot: turned in hue, paler or stronger, at times with light and dark exchanged. No object comes near the colour that
    /// training never shows with its shape; where none is found, the picture without colours.
    /// </summary>
    public static (RgbImage Picture, PictureColours Colours) Draw(RgbImage picture, Scene scene, Random random)
    {
        for (int i = 0; i < Tries; i++)
        {
            Func<Rgb, Rgb> shift = Shift(random);
            if (scene.Objects.All(item => IsApart(shift(ToneOf(item)), item.Shape))) return (Map(picture, shift), PictureColours.Shifted(shift));
        }

        return Grey(picture);
    }

    /// <summary>The tone that most of an object has in the world's colours.</summary>
    public static Rgb ToneOf(SceneObject item) => Palette.Main(item.Colour).Times(item.Shade);

    /// <summary>Whether nobody would call the tone by the name of the colour that training never shows with the shape.</summary>
    public static bool IsApart(Rgb tone, Shape shape) => NeverWith(shape) switch
    {
        Colour.White => Math.Min(tone.R, Math.Min(tone.G, tone.B)) < LeastWhite,
        Colour.Black => Math.Max(tone.R, Math.Max(tone.G, tone.B)) > MostBlack,
        Colour never => Chroma(tone) < LeastChroma || Math.Abs(MathF.IEEERemainder(Hue(tone) - Hue(Palette.Main(never)), 2 * MathF.PI)) > Apart,
    };

    private static Colour NeverWith(Shape shape) => Enum.GetValues<Colour>().Single(colour => Combinations.IsHeldOut(colour, shape));

    private static float Chroma(Rgb tone) => Math.Max(tone.R, Math.Max(tone.G, tone.B)) - Math.Min(tone.R, Math.Min(tone.G, tone.B));

    private static float Hue(Rgb tone) => MathF.Atan2(MathF.Sqrt(3) * (tone.G - tone.B), (2 * tone.R) - tone.G - tone.B);

    private static Func<Rgb, Rgb> Shift(Random random)
    {
        var (sin, cos) = MathF.SinCos(random.NextSingle() * 2 * MathF.PI);
        float strength = 0.3f + (0.7f * random.NextSingle()), light = 0.75f + (0.35f * random.NextSingle());
        bool exchanged = random.Next(3) == 0;
        // Rotation about the axis of greys (Rodrigues): what lies along it stays.
        float along = cos + (Third * (1 - cos)), next = (Third * (1 - cos)) - (MathF.Sqrt(Third) * sin), last = (Third * (1 - cos)) + (MathF.Sqrt(Third) * sin);
        return tone =>
        {
            if (exchanged) tone = new Rgb(byte.MaxValue - tone.R, byte.MaxValue - tone.G, byte.MaxValue - tone.B);
            float grey = (tone.R + tone.G + tone.B) * Third;
            return new Rgb(
                Mixed((along * tone.R) + (next * tone.G) + (last * tone.B)),
                Mixed((last * tone.R) + (along * tone.G) + (next * tone.B)),
                Mixed((next * tone.R) + (last * tone.G) + (along * tone.B)));

            float Mixed(float channel) => Math.Clamp(light * (grey + (strength * (channel - grey))), 0, byte.MaxValue);
        };
    }

    private static RgbImage Map(RgbImage picture, Func<Rgb, Rgb> shift)
    {
        byte[] pixels = [.. picture.Pixels];
        for (int i = 0; i < pixels.Length; i += 3)
        {
            Rgb tone = shift(new Rgb(pixels[i], pixels[i + 1], pixels[i + 2]));
            (pixels[i], pixels[i + 1], pixels[i + 2]) = ((byte)tone.R, (byte)tone.G, (byte)tone.B);
        }

        return new RgbImage(picture.Width, picture.Height, pixels);
    }
}
