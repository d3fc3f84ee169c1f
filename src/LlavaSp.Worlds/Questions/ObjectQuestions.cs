using LlavaSp.Worlds.Scenes;

namespace LlavaSp.Worlds.Questions;

/// <summary>Counting, attributes, reading and captions.</summary>
internal static class ObjectQuestions
{
    // Larger counts are rarer in a scene, so they are asked for more often.
    private static readonly float[] CountWeights = [1, 1.2f, 5, 20, 60, 100, 100];

    public static void AddCounting(QuestionContext context)
    {
        Scene scene = context.Scene;
        Description[] kinds =
        [
            .. Enum.GetValues<Colour>().Select(colour => new Description(Colour: colour)),
            .. Enum.GetValues<Shape>().Select(shape => new Description(Shape: shape)),
        ];
        var byCount = kinds.GroupBy(kind => kind.CountIn(scene)).OrderBy(group => group.Key).ToList();
        float lot = context.Random.NextFloat() * byCount.Sum(group => CountWeights[group.Key]);
        var chosen = byCount[^1];
        foreach (var group in byCount)
        {
            chosen = group;
            if ((lot -= CountWeights[group.Key]) < 0) break;
        }

        Ask(context, context.Random.Pick(chosen.ToList()));
        Ask(context, new Description());
    }

    public static void AddAttributes(QuestionContext context)
    {
        SceneObject item = context.Random.Pick(context.Scene.Objects);
        if (context.Name(item, hideColour: true) is { } forColour)
            Ask("colour", Words.Of(item.Colour), $"What colour is the {forColour}?", $"Which colour does the {forColour} have?");
        if (context.Name(item, hideShape: true) is { } forShape)
            Ask("shape", Words.Of(item.Shape), $"What shape is the {forShape}?", $"Which shape does the {forShape} have?");
        if (context.Name(item, hideSize: true) is { } forSize && context.Random.Chance(0.5f))
            Ask("size", Words.Of(item.Size), $"What size is the {forSize}?", $"Is the {forSize} small or large?");
        if (context.Name(item, hideTexture: true) is { } forTexture && context.Random.Chance(0.5f))
            Ask("texture", Words.Of(item.Texture), $"What texture does the {forTexture} have?", $"Is the {forTexture} plain, striped or dotted?");

        void Ask(string category, string answer, params string[] wordings) =>
            context.Add(QuestionFamily.Attribute, category, answer, QuestionContext.IsHeldOut(item), wordings);
    }

    public static void AddReading(QuestionContext context)
    {
        SceneObject[] marked = [.. context.Scene.Objects.Where(item => item.Mark is not null)];
        if (marked.Length == 0) return;
        SceneObject item = context.Random.Pick(marked);
        char mark = item.Mark!.Value;
        string kind = char.IsAsciiDigit(mark) ? "digit" : "letter";
        if (context.Name(item) is { } name)
        {
            context.Add(QuestionFamily.Reading, kind, mark.ToString(), QuestionContext.IsHeldOut(item),
                $"What {kind} is on the {name}?", $"Which {kind} is written on the {name}?");
        }

        context.Add(QuestionFamily.Reading, "bearer", Words.Of(item), QuestionContext.IsHeldOut(item),
            $"What object has the {kind} {mark}?", $"On which object is the {kind} {mark}?");
    }

    public static void AddCaption(QuestionContext context)
    {
        string[] phrases = [.. context.Scene.Objects.OrderBy(item => item.X)
            .Select(item => new Description(Colour: item.Colour, Shape: item.Shape).WithArticle)];
        string text = phrases.Length == 1 ? phrases[0] : $"{string.Join(", ", phrases[..^1])} and {phrases[^1]}";
        context.Add(QuestionFamily.Caption, "caption", text, context.Scene.Objects.Any(QuestionContext.IsHeldOut),
            "Describe the image.", "What is in the picture?", "List the objects from left to right.");
    }

    private static void Ask(QuestionContext context, Description kind) => context.Add(
        QuestionFamily.Counting, kind.Colour is not null ? "colour" : kind.Shape is not null ? "shape" : "all",
        $"{kind.CountIn(context.Scene)}", context.Scene.Objects.Any(item => kind.Matches(item) && QuestionContext.IsHeldOut(item)),
        $"How many {kind.Plural} are there?", $"How many {kind.Plural} are in the image?", $"What is the number of {kind.Plural}?");
}
