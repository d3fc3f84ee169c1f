namespace LlavaSp.Worlds.Scenes;

/// <summary>One object. Lengths are shares of the picture's side; y grows downwards.</summary>
/// <param name="Shape">Outline.</param>
/// <param name="Colour">Colour.</param>
/// <param name="Size">Size by name.</param>
/// <param name="Texture">Filling.</param>
/// <param name="X">Centre.</param>
/// <param name="Y">Centre.</param>
/// <param name="Radius">Unit of the outline; corners reach up to 1.2 of it.</param>
/// <param name="Tilt">Tangent of half the angle of rotation: rotations need no sine, whose last bit differs between platforms.</param>
/// <param name="Shade">Factor on the colour, near 1.</param>
/// <param name="Mark">The digit or letter written on it; null where there is none.</param>
public sealed record SceneObject(
    Shape Shape, Colour Colour, Size Size, Texture Texture, float X, float Y, float Radius, float Tilt, float Shade, char? Mark)
{
    /// <summary>How far the outline reaches at most, as a factor on <see cref="Radius"/>.</summary>
    public const float Reach = 1.2f;

    /// <summary>Whether its texture is asked for and named: a mark leaves too little of a small object.</summary>
    public bool ShowsTexture => Mark is null || Size == Size.Large;
}

/// <summary>What is behind the objects: a gradient between two greyish tones, and noise.</summary>
/// <param name="From">Tone at one side, 0xRRGGBB.</param>
/// <param name="To">Tone at the other.</param>
/// <param name="AcrossX">Direction of the gradient.</param>
/// <param name="AcrossY">Direction of the gradient.</param>
/// <param name="Noise">Largest deviation of a pixel, in steps of 8 bits.</param>
/// <param name="NoiseSeed">Seed of the noise.</param>
public sealed record Background(int From, int To, float AcrossX, float AcrossY, int Noise, uint NoiseSeed);

/// <summary>A scene without pixels. Later objects lie on earlier ones.</summary>
/// <param name="Objects">1 to 6 objects from back to front.</param>
/// <param name="Background">What is behind them.</param>
public sealed record Scene(IReadOnlyList<SceneObject> Objects, Background Background);
