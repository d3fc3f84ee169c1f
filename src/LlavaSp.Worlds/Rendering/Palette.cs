using LlavaSp.Worlds.Scenes;

namespace LlavaSp.Worlds.Rendering;

/// <summary>Tones of the colours' names.</summary>
public static class Palette
{
    // The second tone stays within the colour's name: no pink beside red, no brown beside orange.
    private static readonly (Rgb Main, Rgb Second)[] Tones =
    [
        (new(214, 32, 40), new(120, 8, 16)),
        (new(250, 130, 10), new(255, 185, 100)),
        (new(250, 225, 30), new(190, 165, 0)),
        (new(30, 155, 50), new(130, 215, 130)),
        (new(35, 75, 220), new(135, 170, 250)),
        (new(140, 40, 175), new(205, 140, 225)),
        (new(250, 250, 250), new(195, 195, 195)),
        (new(14, 14, 14), new(80, 80, 80)),
    ];

    /// <summary>The tone that most of an object has.</summary>
    public static Rgb Main(Colour colour) => Tones[(int)colour].Main;

    /// <summary>The tone of its stripes or dots.</summary>
    public static Rgb Second(Colour colour) => Tones[(int)colour].Second;
}

/// <summary>A tone of 8-bit steps, not rounded.</summary>
/// <param name="R">Red.</param>
/// <param name="G">Green.</param>
/// <param name="B">Blue.</param>
public readonly record struct Rgb(float R, float G, float B)
{
    /// <summary>This tone, and so much of another over it.</summary>
    public Rgb Under(Rgb other, float share) =>
        new(R + ((other.R - R) * share), G + ((other.G - G) * share), B + ((other.B - B) * share));

    /// <summary>Lighter or darker.</summary>
    public Rgb Times(float factor) => new(R * factor, G * factor, B * factor);
}
