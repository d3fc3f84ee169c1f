using System.Text.RegularExpressions;
using LlavaSp.Worlds.Rendering;
using LlavaSp.Worlds.Scenes;

namespace LlavaSp.Tests.Worlds;

/// <summary>Answers questions from the scene by reading their text: nothing of what made them is used.</summary>
internal static class TruthFromText
{
    private const string Phrase =
        "(?:(?:small|large) )?(?:(?:plain|striped|dotted) )?(?:(?:red|orange|yellow|green|blue|purple|white|black) )?"
        + "(?:object|circle|square|triangle|star|diamond|cross|heart|hexagon)(?:e?s)?";

    private static readonly (Regex Pattern, Func<Scene, Match, string> Answer)[] Rules =
    [
        Rule("(?:Is there|Can you see|Does the picture show) an? (@)(?: in the image)?", (s, m) => YesNo(All(s, m, 1).Length > 0)),
        Rule("How many (@) are (?:there|in the image)|What is the number of (@)", (s, m) => $"{All(s, m, m.Groups[1].Success ? 1 : 2).Length}"),
        Rule("What colour is the (@)|Which colour does the (@) have", (s, m) => Lower(The(s, m).Colour)),
        Rule("What shape is the (@)|Which shape does the (@) have", (s, m) => Lower(The(s, m).Shape)),
        Rule("What size is the (@)|Is the (@) small or large", (s, m) => Lower(The(s, m).Size)),
        Rule("What texture does the (@) have|Is the (@) plain, striped or dotted", (s, m) => Lower(The(s, m).Texture)),
        Rule("What digit is on the (@)|Which digit is written on the (@)", (s, m) => Mark(The(s, m), char.IsAsciiDigit)),
        Rule("What letter is on the (@)|Which letter is written on the (@)", (s, m) => Mark(The(s, m), char.IsAsciiLetterUpper)),
        Rule("(?:What object has|On which object is) the (digit|letter) (.)", (s, m) =>
        {
            Assert.Equal(m.Groups[1].Value == "digit", char.IsAsciiDigit(m.Groups[2].Value[0]));
            return Short(Assert.Single(s.Objects, item => item.Mark == m.Groups[2].Value[0]));
        }),
        Rule("(?:Is the (@)|Does the (@) lie) (left of|right of|above|below) the (@)", (s, m) => YesNo(Lies(The(s, m), m.Groups[3].Value, The(s, m, 4)))),
        Rule("(?:What object is nearest|Which object is closest) to the (@)", (s, m) => Short(Nearest(s, The(s, m)))),
        Rule("Is the (@) (bigger|smaller) than the (@)", (s, m) =>
        {
            double ratio = Area(The(s, m)) / (double)Area(The(s, m, 3));
            Assert.False(ratio is > 0.95 and < 1.05);
            return YesNo(m.Groups[2].Value == "bigger" ? ratio > 1 : ratio < 1);
        }),
        Rule("Are there more (@) than (@)", (s, m) =>
        {
            Assert.NotEqual(All(s, m, 1).Length, All(s, m, 2).Length);
            return YesNo(All(s, m, 1).Length > All(s, m, 2).Length);
        }),
    ];

    private static readonly Regex Caption = new(
        "^(?:Describe the image from left to right\\.|What is in the picture, from left to right\\?|List the objects from left to right\\.)$");

    public static string Answer(Scene scene, string text)
    {
        if (Caption.IsMatch(text)) return Captioned(scene);
        var (rule, match) = Assert.Single(Rules.Select(rule => (rule, Match: rule.Pattern.Match(text))), pair => pair.Match.Success);
        return rule.Answer(scene, match);
    }

    /// <summary>The objects that a phrase fits.</summary>
    public static SceneObject[] Fitting(Scene scene, string phrase)
    {
        string[] words = phrase.Split(' ');
        string noun = words[^1] switch { "cross" => "cross", "crosses" => "cross", var other => other.TrimEnd('s') };
        return [.. scene.Objects.Where(item =>
            (noun == "object" || noun == Lower(item.Shape))
            && words[..^1].All(word => word == Lower(item.Size) || word == Lower(item.Texture) || word == Lower(item.Colour)))];
    }

    private static (Regex, Func<Scene, Match, string>) Rule(string pattern, Func<Scene, Match, string> answer) =>
        (new Regex($"^(?:{pattern.Replace("@", Phrase, StringComparison.Ordinal)})\\?$"), answer);

    private static SceneObject[] All(Scene scene, Match match, int group) => Fitting(scene, match.Groups[group].Value);

    // The first group that took part, or a given one; what "the" stands before must be the only one.
    private static SceneObject The(Scene scene, Match match, int group = 0) =>
        Assert.Single(All(scene, match, group > 0 ? group : match.Groups[1].Success ? 1 : 2));

    private static string Mark(SceneObject item, Func<char, bool> isKind)
    {
        Assert.True(isKind(item.Mark!.Value));
        return $"{item.Mark}";
    }

    private static bool Lies(SceneObject one, string relation, SceneObject other)
    {
        float by = relation is "left of" or "right of" ? one.X - other.X : one.Y - other.Y;
        // Not close to call: more than the radius of any small object.
        Assert.True(Math.Abs(by) > 0.1f);
        return relation is "left of" or "above" ? by < 0 : by > 0;
    }

    private static SceneObject Nearest(Scene scene, SceneObject to)
    {
        double Middles(SceneObject item) => Math.Sqrt(Math.Pow(item.X - to.X, 2) + Math.Pow(item.Y - to.Y, 2));
        SceneObject[] others = [.. scene.Objects.Where(item => item != to)];
        SceneObject nearest = others.MinBy(Middles)!;
        Assert.Same(nearest, others.MinBy(item => Middles(item) - item.Radius));
        Assert.All(others, item => Assert.True(item == nearest || Middles(item) > 1.2 * Middles(nearest)));
        return nearest;
    }

    private static string Captioned(Scene scene)
    {
        SceneObject[] objects = [.. scene.Objects];
        Array.Sort(objects, (a, b) => a.X.CompareTo(b.X));
        for (int i = 1; i < objects.Length; i++) Assert.True(objects[i].X - objects[i - 1].X > 0.035f);
        string text = "";
        for (int i = 0; i < objects.Length; i++)
        {
            string joint = i == 0 ? "" : i == objects.Length - 1 ? " and " : ", ";
            text += $"{joint}{(objects[i].Colour == Colour.Orange ? "an" : "a")} {Short(objects[i])}";
        }

        return text;
    }

    private static int Area(SceneObject item) => IdMask.Count(item, SceneRenderer.DefaultSide);

    private static string Short(SceneObject item) => $"{Lower(item.Colour)} {Lower(item.Shape)}";

    private static string Lower<T>(T value) where T : struct, Enum => $"{value}".ToLowerInvariant();

    private static string YesNo(bool yes) => yes ? "yes" : "no";
}
