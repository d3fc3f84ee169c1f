using LlavaSp.Worlds.Scenes;

namespace LlavaSp.Worlds.Questions;

/// <summary>Counting, attributes, reading and captions.</summary>
internal static class ObjectQuestions
{
    // Larger counts are rarer in a scene, so they are asked for more often.
    private static readonly float[] CountWeights = [1, 1.2f, 5, 20, 60, 100, 100];

    // Between centres next to each other: about 7 pixels of 168.
    private const float CaptionGap = 0.04f;

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
        if (item.ShowsTexture && context.Name(item, hideTexture: true) is { } forTexture && context.Random.Chance(0.5f))
            Ask("texture", Words.Of(item.Texture), $"What texture does the {forTexture} have?", $"Is the {forTexture} plain, striped or dotted?");
        AddSize(context);

        void Ask(string category, string answer, params string[] wordings) =>
            context.Add(QuestionFamily.Attribute, category, answer, QuestionContext.IsHeldOut(item), wordings);
    }

    // Small objects are more frequent: the answer is drawn first, and only where both are possible. Textures are named less often of small ones,
    // so that here they would tell.
    private static void AddSize(QuestionContext context)
    {
        var named = context.Scene.Objects.Select(item => (Item: item, Name: context.Name(item, hideSize: true, hideTexture: true)))
            .Where(pair => pair.Name is not null).ToList();
        Size size = context.Random.Chance(0.5f) ? Size.Large : Size.Small;
        var fitting = named.Where(pair => pair.Item.Size == size).ToList();
        if (fitting.Count == 0 || fitting.Count == named.Count) return;
        var (item, name) = context.Random.Pick(fitting);
        context.Add(QuestionFamily.Attribute, "size", Words.Of(size), QuestionContext.IsHeldOut(item),
            $"What size is the {name}?", $"Is the {name} small or large?");
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
        SceneObject[] inOrder = [.. context.Scene.Objects.OrderBy(item => item.X)];
        if (inOrder.Zip(inOrder.Skip(1), (left, right) => right.X - left.X).Any(gap => gap < CaptionGap)) return;
        string[] phrases = [.. inOrder.Select(item => new Description(Colour: item.Colour, Shape: item.Shape).WithArticle)];
        string text = phrases.Length == 1 ? phrases[0] : $"{string.Join(", ", phrases[..^1])} and {phrases[^1]}";
        context.Add(QuestionFamily.Caption, "caption", text, context.Scene.Objects.Any(QuestionContext.IsHeldOut),
            "Describe the image from left to right.", "What is in the picture, from left to right?", "List the objects from left to right.");
    }

    private static void Ask(QuestionContext context, Description kind) => context.Add(
        QuestionFamily.Counting, kind.Colour is not null ? "colour" : kind.Shape is not null ? "shape" : "all",
        $"{kind.CountIn(context.Scene)}", context.Scene.Objects.Any(item => kind.Matches(item) && QuestionContext.IsHeldOut(item)),
        $"How many {kind.Plural} are there?", $"How many {kind.Plural} are in the image?", $"What is the number of {kind.Plural}?");
}
