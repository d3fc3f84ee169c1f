namespace LlavaSp.Worlds.Scenes;

/// <summary>
/// Combinations of colour and shape that are held out: every colour once and every shape once, so that neither tells anything.
/// </summary>
public static class Combinations
{
    /// <summary>How many colours there are, and how many shapes.</summary>
    public const int Side = 8;

    private const int Shift = 1, Step = 3;

    /// <summary>Whether training and validation never show or name it.</summary>
    public static bool IsHeldOut(Colour colour, Shape shape) => (Shape)((((int)colour * Step) + Shift) % Side) == shape;
}
