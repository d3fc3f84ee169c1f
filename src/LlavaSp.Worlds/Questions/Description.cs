using LlavaSp.Worlds.Scenes;

namespace LlavaSp.Worlds.Questions;

/// <summary>Some attributes of an object, in the order in which they are said.</summary>
internal sealed record Description(Size? Size = null, Texture? Texture = null, Colour? Colour = null, Shape? Shape = null)
{
    public bool Matches(SceneObject item) =>
        (Size is null || Size == item.Size) && (Texture is null || Texture == item.Texture)
        && (Colour is null || Colour == item.Colour) && (Shape is null || Shape == item.Shape);

    public int CountIn(Scene scene) => scene.Objects.Count(Matches);

    /// <summary>Whether it names a held-out combination itself.</summary>
    public bool NamesHeldOut => Colour is { } colour && Shape is { } shape && Combinations.IsHeldOut(colour, shape);

    public string Singular => $"{Adjectives}{(Shape is { } shape ? Words.Of(shape) : "object")}";

    public string Plural => Shape is { } shape ? $"{Adjectives}{Words.PluralOf(shape)}" : $"{Adjectives}objects";

    public string WithArticle => $"{("aeiou".Contains(Singular[0], StringComparison.Ordinal) ? "an" : "a")} {Singular}";

    private string Adjectives =>
        (Size is { } size ? $"{Words.Of(size)} " : "") + (Texture is { } texture ? $"{Words.Of(texture)} " : "")
        + (Colour is { } colour ? $"{Words.Of(colour)} " : "");
}

/// <summary>The world's nouns and adjectives.</summary>
internal static class Words
{
    private static readonly string[] Shapes = ["circle", "square", "triangle", "star", "diamond", "cross", "heart", "hexagon"];
    private static readonly string[] Colours = ["red", "orange", "yellow", "green", "blue", "purple", "white", "black"];
    private static readonly string[] Sizes = ["small", "large"];
    private static readonly string[] Textures = ["plain", "striped", "dotted"];

    public static string Of(Shape shape) => Shapes[(int)shape];

    public static string PluralOf(Shape shape) => shape == Shape.Cross ? "crosses" : $"{Of(shape)}s";

    public static string Of(Colour colour) => Colours[(int)colour];

    public static string Of(Size size) => Sizes[(int)size];

    public static string Of(Texture texture) => Textures[(int)texture];

    public static string Of(SceneObject item) => $"{Of(item.Colour)} {Of(item.Shape)}";

    public static string YesNo(bool yes) => yes ? "yes" : "no";
}
