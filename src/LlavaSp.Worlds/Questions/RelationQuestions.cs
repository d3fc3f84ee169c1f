using LlavaSp.Worlds.Scenes;

namespace LlavaSp.Worlds.Questions;

/// <summary>Questions about two objects, or two kinds of them. Orders are drawn by lot, which makes yes as likely as no.</summary>
internal static class RelationQuestions
{
    private const float Apart = 0.15f, NearestRatio = 1.25f, EdgeApart = 0.03f;

    public static void AddSpatial(QuestionContext context)
    {
        if (context.Scene.Objects.Count < 2) return;
        if (DrawPair(context) is not { } pair) return;
        var (first, firstName, second, secondName) = pair;
        bool heldOut = QuestionContext.IsHeldOut(first) || QuestionContext.IsHeldOut(second);
        float dx = second.X - first.X, dy = second.Y - first.Y;
        if (Math.Abs(dx) >= Apart)
            Ask(context.Random.Chance(0.5f) ? ("left of", dx > 0) : ("right of", dx < 0));
        if (Math.Abs(dy) >= Apart)
            Ask(context.Random.Chance(0.5f) ? ("above", dy > 0) : ("below", dy < 0));
        AddNearest(context, first, firstName);

        void Ask((string Relation, bool Yes) what) => context.Add(
            QuestionFamily.Spatial, what.Relation, Words.YesNo(what.Yes), heldOut,
            $"Is the {firstName} {what.Relation} the {secondName}?", $"Does the {firstName} lie {what.Relation} the {secondName}?");
    }

    public static void AddComparison(QuestionContext context)
    {
        if (context.Scene.Objects.Count >= 2 && DrawPair(context, hideSize: true) is { } pair && pair.First.Size != pair.Second.Size)
        {
            bool heldOut = QuestionContext.IsHeldOut(pair.First) || QuestionContext.IsHeldOut(pair.Second);
            string relation = context.Random.Chance(0.5f) ? "bigger" : "smaller";
            bool yes = pair.First.Size == (relation == "bigger" ? Size.Large : Size.Small);
            context.Add(QuestionFamily.Comparison, "size", Words.YesNo(yes), heldOut,
                $"Is the {pair.FirstName} {relation} than the {pair.SecondName}?");
        }

        var one = new Description(Colour: (Colour)context.Random.Next(Combinations.Side));
        var other = new Description(Colour: (Colour)context.Random.Next(Combinations.Side));
        int more = one.CountIn(context.Scene), less = other.CountIn(context.Scene);
        if (more == less) return;
        context.Add(QuestionFamily.Comparison, "number", Words.YesNo(more > less),
            context.Scene.Objects.Any(item => (one.Matches(item) || other.Matches(item)) && QuestionContext.IsHeldOut(item)),
            $"Are there more {one.Plural} than {other.Plural}?");
    }

    private static void AddNearest(QuestionContext context, SceneObject to, string name)
    {
        if (context.Scene.Objects.Count < 3) return;
        var others = context.Scene.Objects.Where(item => !ReferenceEquals(item, to))
            .Select(item => (Item: item, Distance: MathF.Sqrt(((item.X - to.X) * (item.X - to.X)) + ((item.Y - to.Y) * (item.Y - to.Y)))))
            .OrderBy(pair => pair.Distance).ToList();
        if (others[1].Distance < NearestRatio * others[0].Distance) return;
        // Nearest by its edge too, whichever of the two a reader means.
        if (others.Skip(1).Any(pair => pair.Distance - pair.Item.Radius < others[0].Distance - others[0].Item.Radius + EdgeApart)) return;
        context.Add(QuestionFamily.Spatial, "nearest", Words.Of(others[0].Item),
            QuestionContext.IsHeldOut(to) || QuestionContext.IsHeldOut(others[0].Item),
            $"What object is nearest to the {name}?", $"Which object is closest to the {name}?");
    }

    // What hides the size hides the texture, which is named less often of small objects.
    private static (SceneObject First, string FirstName, SceneObject Second, string SecondName)? DrawPair(
        QuestionContext context, bool hideSize = false)
    {
        int i = context.Random.Next(context.Scene.Objects.Count), j = context.Random.Next(context.Scene.Objects.Count - 1);
        SceneObject first = context.Scene.Objects[i], second = context.Scene.Objects[j < i ? j : j + 1];
        return context.Name(first, hideSize: hideSize, hideTexture: hideSize) is { } a && context.Name(second, hideSize: hideSize, hideTexture: hideSize) is { } b ? (first, a, second, b) : null;
    }
}
