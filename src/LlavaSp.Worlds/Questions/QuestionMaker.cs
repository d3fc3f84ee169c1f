using LlavaSp.Worlds.Scenes;

namespace LlavaSp.Worlds.Questions;

/// <summary>
/// Questions about a scene. Yes and no come in pairs or from orders drawn by lot, so that neither is likelier; what is close to call is not asked.
/// </summary>
public static class QuestionMaker
{
    /// <summary>All families' questions that the scene allows.</summary>
    /// <param name="scene">The scene.</param>
    /// <param name="random">Draws the objects and the wording.</param>
    /// <param name="withHeldOut">Whether held-out combinations may be named although they are absent.</param>
    public static IReadOnlyList<Question> Questions(Scene scene, WorldRandom random, bool withHeldOut)
    {
        ArgumentNullException.ThrowIfNull(scene);
        ArgumentNullException.ThrowIfNull(random);
        var maker = new QuestionContext(scene, random, withHeldOut);
        ExistenceQuestions.Add(maker);
        ObjectQuestions.AddCounting(maker);
        ObjectQuestions.AddAttributes(maker);
        ObjectQuestions.AddReading(maker);
        RelationQuestions.AddSpatial(maker);
        RelationQuestions.AddComparison(maker);
        ObjectQuestions.AddCaption(maker);
        return maker.All;
    }
}

/// <summary>What all families need: the scene, the lots, the list.</summary>
internal sealed class QuestionContext(Scene scene, WorldRandom random, bool withHeldOut)
{
    public Scene Scene { get; } = scene;

    public WorldRandom Random { get; } = random;

    public bool WithHeldOut { get; } = withHeldOut;

    public List<Question> All { get; } = [];

    public void Add(QuestionFamily family, string category, string answer, bool heldOut, params string[] wordings) =>
        All.Add(new Question(family, category, Random.Pick(wordings), answer, heldOut));

    public static bool IsHeldOut(SceneObject item) => Combinations.IsHeldOut(item.Colour, item.Shape);

    /// <summary>A description that fits this object only; null where there is none.</summary>
    public string? Name(SceneObject item, bool hideColour = false, bool hideShape = false, bool hideSize = false, bool hideTexture = false)
    {
        Colour? colour = hideColour ? null : item.Colour;
        Shape? shape = hideShape ? null : item.Shape;
        Size? size = hideSize ? null : item.Size;
        Texture? texture = hideTexture || !item.ShowsTexture ? null : item.Texture;
        Description[] unique =
        [
            .. new Description[] { new(Shape: shape), new(Colour: colour, Shape: shape), new(size, Shape: shape), new(size, null, colour, shape),
                new(null, texture, Shape: shape), new(null, texture, colour, shape), new(size, texture, colour, shape) }
                .Distinct().Where(description => description.CountIn(Scene) == 1),
        ];
        return unique.Length == 0 ? null : Random.Pick(unique).Singular;
    }
}
