using LlavaSp.Worlds.Questions;
using LlavaSp.Worlds.Scenes;

namespace LlavaSp.TrainDemo.Data;

/// <summary>Adjectives and a noun of a text, and what they say. A digit or letter names what it is written on.</summary>
/// <param name="First">Place of its first word.</param>
/// <param name="Noun">Place of its noun.</param>
/// <param name="What">What it says.</param>
/// <param name="Mark">The digit or letter; null where it is none.</param>
internal sealed record Phrase(int First, int Noun, Description What, char? Mark = null)
{
    /// <summary>Whether it fits an object.</summary>
    public bool Fits(SceneObject item) => Mark is { } mark ? item.Mark == mark : What.Matches(item);

    /// <summary>
    /// Whether training never shows what is named in an object's colour or shape: of such a one nothing is to be learned that speaks against the other.
    /// </summary>
    public bool IsNeverLike(SceneObject item, PictureColours colours) =>
        (What.Shape is { } shape && (colours.ShapesNeverLike(item) & (1L << (int)shape)) != 0)
        || (What.Colour is { } colour && (colours.ColoursNeverLike(item) & (1L << (int)colour)) != 0);
}
