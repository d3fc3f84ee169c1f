namespace LlavaSp.Worlds.Scenes;

/// <summary>
/// Combinations of colour and shape with a role. Each set has every colour once and every shape once, so that neither tells the role.
/// </summary>
public static class Combinations
{
    /// <summary>How many colours there are, and how many shapes.</summary>
    public const int Side = 8;

    private const int HeldOutShift = 1, PopularShift = 4, Step = 3;

    /// <summary>Whether training and validation never show or name it.</summary>
    public static bool IsHeldOut(Colour colour, Shape shape) => ShapeOf(colour, HeldOutShift) == shape;

    /// <summary>Whether it occurs about twice as often as others: what the popular negatives of existence questions ask for.</summary>
    public static bool IsPopular(Colour colour, Shape shape) => ShapeOf(colour, PopularShift) == shape;

    /// <summary>The popular partner of a colour.</summary>
    public static Shape PopularShapeOf(Colour colour) => ShapeOf(colour, PopularShift);

    private static Shape ShapeOf(Colour colour, int shift) => (Shape)((((int)colour * Step) + shift) % Side);
}
