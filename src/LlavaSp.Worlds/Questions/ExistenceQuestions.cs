using LlavaSp.Worlds.Scenes;

namespace LlavaSp.Worlds.Questions;

/// <summary>
/// Is there a …? In POPE's three kinds, always a yes and a no of one class of combinations: a text alone then tells nothing about its answer.
/// </summary>
internal static class ExistenceQuestions
{
    public static void Add(QuestionContext context)
    {
        Description[] all = [.. Enumerable.Range(0, Combinations.Side * Combinations.Side)
            .Select(i => new Description(Colour: (Colour)(i / Combinations.Side), Shape: (Shape)(i % Combinations.Side)))
            .Where(kind => context.WithHeldOut || !kind.NamesHeldOut)];
        Pair(context, "random", [.. all.Where(kind => !IsPopular(kind))], _ => true);
        Pair(context, "popular", [.. all.Where(IsPopular)], _ => true);
        Pair(context, "adversarial", [.. all.Where(kind => !IsPopular(kind))],
            kind => context.Scene.Objects.Any(item => item.Colour == kind.Colour || item.Shape == kind.Shape));
        Pair(context, "colour", [.. Enum.GetValues<Colour>().Select(colour => new Description(Colour: colour))], _ => true);
        Pair(context, "shape", [.. Enum.GetValues<Shape>().Select(shape => new Description(Shape: shape))], _ => true);
    }

    private static bool IsPopular(Description kind) => Combinations.IsPopular(kind.Colour!.Value, kind.Shape!.Value);

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
