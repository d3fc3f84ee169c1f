using LlavaSp.Worlds.Rendering;
using LlavaSp.Worlds.Scenes;

namespace LlavaSp.TrainDemo.Data;

/// <summary>
/// In which colours a picture shows its scene, and so which combinations of colour and shape training never shows there. Where one of them could be meant it is
/// left out of the choice: else a model learns from its absence that the two exclude each other, and denies what it sees.
/// </summary>
internal sealed class PictureColours
{
    private readonly Func<Rgb, Rgb>? _shift;

    private PictureColours(bool areSaid, Func<Rgb, Rgb>? shift) => (AreSaid, _shift) = (areSaid, shift);

    /// <summary>The world's.</summary>
    public static PictureColours World { get; } = new(true, null);

    /// <summary>Greys, in which every shape is shown.</summary>
    public static PictureColours Greys { get; } = new(false, null);

    /// <summary>Others.</summary>
    public static PictureColours Shifted(Func<Rgb, Rgb> shift) => new(false, shift);

    /// <summary>Whether colours can be asked for and said.</summary>
    public bool AreSaid { get; }

    /// <summary>A bit for each shape that training never shows in the tone of an object.</summary>
    public long ShapesNeverLike(SceneObject item)
    {
        if (AreSaid) return Bits<Shape>(shape => Combinations.IsHeldOut(item.Colour, shape));
        return _shift is null ? 0 : Bits<Shape>(shape => !ColourShift.IsApart(_shift(ColourShift.ToneOf(item)), shape));
    }

    /// <summary>A bit for each of the world's colours that training never shows with the shape of an object.</summary>
    public long ColoursNeverLike(SceneObject item) => AreSaid ? Bits<Colour>(colour => Combinations.IsHeldOut(colour, item.Shape)) : 0;

    /// <summary>The shape of an object; classes begin at <paramref name="first"/>.</summary>
    public Label ShapeOf(SceneObject item, int first = 0) => new((int)item.Shape + first, ShapesNeverLike(item) << first);

    /// <summary>The colour of an object, where it can be asked for; classes begin at <paramref name="first"/>.</summary>
    public Label ColourOf(SceneObject item, int first = 0) => AreSaid ? new((int)item.Colour + first, ColoursNeverLike(item) << first) : Label.None;

    private static long Bits<T>(Predicate<T> has) where T : struct, Enum => Enum.GetValues<T>().Select((value, i) => has(value) ? 1L << i : 0).Sum();
}
