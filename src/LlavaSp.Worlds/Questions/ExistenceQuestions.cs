using LlavaSp.Worlds.Scenes;

namespace LlavaSp.Worlds.Questions;

/// <summary>
/// Is there a …? Always a yes and a no of one class of combinations: a text alone then tells nothing about its answer. POPE's three kinds of
/// negatives, from this scene's counts, since all combinations are equally frequent over scenes.
/// </summary>
internal static class ExistenceQuestions
{
    public static void Add(QuestionContext context)
    {
        Description[] all = [.. Enumerable.Range(0, Combinations.Side * Combinations.Side)
            .Select(i => new Description(Colour: (Colour)(i / Combinations.Side), Shape: (Shape)(i % Combinations.Side)))
            .Where(kind => context.WithHeldOut || !kind.NamesHeldOut)];
        int most = all.Max(Shared);
        Pair(context, "random", all, _ => true);
        Pair(context, "popular", all, kind => most >= 2 && Shared(kind) == most);
        Pair(context, "adversarial", all, kind =>
            context.Scene.Objects.Any(item => item.Colour == kind.Colour) && context.Scene.Objects.Any(item => item.Shape == kind.Shape));
        Pair(context, "colour", [.. Enum.GetValues<Colour>().Select(colour => new Description(Colour: colour))], _ => true);
        Pair(context, "shape", [.. Enum.GetValues<Shape>().Select(shape => new Description(Shape: shape))], _ => true);

        // How often the scene shows its colour or its shape, whichever is more.
        int Shared(Description kind) => Math.Max(
            context.Scene.Objects.Count(item => item.Colour == kind.Colour), context.Scene.Objects.Count(item => item.Shape == kind.Shape));
    }

    private static void Pair(QuestionContext context, string category, Description[] kinds, Func<Description, bool> isFairNegative)
    {
        Description[] present = [.. kinds.Where(kind => kind.CountIn(context.Scene) > 0)];
        Description[] absent = [.. kinds.Where(kind => kind.CountIn(context.Scene) == 0 && isFairNegative(kind))];
        if (present.Length == 0 || absent.Length == 0) return;
        Ask(context, category, context.Random.Pick(present), true);
        Ask(context, category, context.Random.Pick(absent), false);
    }

    private static void Ask(QuestionContext context, string category, Description kind, bool yes) => context.Add(
        QuestionFamily.Existence, category, Words.YesNo(yes),
        kind.NamesHeldOut || context.Scene.Objects.Any(item => kind.Matches(item) && QuestionContext.IsHeldOut(item)),
        $"Is there {kind.WithArticle} in the image?", $"Can you see {kind.WithArticle}?", $"Does the picture show {kind.WithArticle}?");
}
