using LlavaSp.Worlds.Questions;
using LlavaSp.Worlds.Scenes;

namespace LlavaSp.TrainDemo.Data;

/// <summary>Finds what a text names, in the world's words.</summary>
internal static class NamedObjects
{
    private static readonly Dictionary<string, Size> Sizes = Enum.GetValues<Size>().ToDictionary(Words.Of);
    private static readonly Dictionary<string, Texture> Textures = Enum.GetValues<Texture>().ToDictionary(Words.Of);
    private static readonly Dictionary<string, Colour> Colours = Enum.GetValues<Colour>().ToDictionary(Words.Of);
    private static readonly Dictionary<string, Shape> Shapes = Enum.GetValues<Shape>()
        .SelectMany(shape => new[] { (Words.Of(shape), shape), (Words.PluralOf(shape), shape) }).ToDictionary(pair => pair.Item1, pair => pair.Item2);

    /// <summary>Whether a text names a colour.</summary>
    public static bool SayColours(string text) => text.Split(' ').Any(word => Colours.ContainsKey(word.Trim('.', ',', '?')));

    /// <summary>Each phrase; a bare "object" is none.</summary>
    public static IEnumerable<Phrase> In(IReadOnlyList<string> words)
    {
        var what = new Description();
        for (int i = 0, first = 0; i < words.Count; i++)
        {
            string word = words[i];
            if (Sizes.TryGetValue(word, out Size size)) what = what with { Size = size };
            else if (Textures.TryGetValue(word, out Texture texture)) what = what with { Texture = texture };
            else if (Colours.TryGetValue(word, out Colour colour)) what = what with { Colour = colour };
            else
            {
                if (Shapes.TryGetValue(word, out Shape shape)) yield return new(first, i, what with { Shape = shape });
                else if (word == "objects" || (word == "object" && what != new Description())) yield return new(first, i, what);
                else if (word.Length == 1 && i > 0 && words[i - 1] is "digit" or "letter") yield return new(i, i, new Description(), word[0]);
                what = new Description();
                first = i + 1;
            }
        }
    }
}
