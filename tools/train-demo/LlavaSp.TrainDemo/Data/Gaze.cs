using LlavaSp.Worlds.Questions;
using LlavaSp.Worlds.Scenes;

namespace LlavaSp.TrainDemo.Data;

/// <summary>
/// Where a position of a packed question should look: a noun at what it names, a position that predicts the answer at what the answer is about.
/// </summary>
/// <param name="At">Place in <see cref="PackedQuestions.Ids"/>.</param>
/// <param name="Answers">Whether it predicts a word of the answer.</param>
/// <param name="Objects">Places of the objects in the scene.</param>
internal sealed record Gaze(int At, bool Answers, int[] Objects)
{
    /// <summary>The gazes of one question.</summary>
    /// <param name="words">Words of question and answer, one for each token.</param>
    /// <param name="asked">How many of them are the question's.</param>
    /// <param name="offset">Place of the first.</param>
    /// <param name="scene">The scene.</param>
    public static IEnumerable<Gaze> Of(IReadOnlyList<string> words, int asked, int offset, Scene scene)
    {
        var named = NamedObjects.In([.. words.Take(asked)]).Select(phrase => (phrase.Noun, Objects: Matching(phrase.Fits))).Where(phrase => phrase.Objects.Length > 0).ToList();
        foreach (var (noun, objects) in named) yield return new Gaze(offset + noun, false, objects);
        int[] all = [.. named.SelectMany(phrase => phrase.Objects).Distinct()];
        bool said = false;
        foreach (var (first, noun, fits) in NamedObjects.In([.. words.Skip(asked)]))
        {
            said = true;
            // Of those it fits, the ones that were asked about: "star" is said of one, even where there are two.
            int[] objects = Matching(fits), meant = [.. objects.Intersect(all)];
            if (meant.Length > 0) objects = meant;
            // Each word is predicted at the place before it.
            for (int word = first; word <= noun; word++) yield return new Gaze(offset + asked + word - 1, true, objects);
        }

        if (!said && all.Length > 0) yield return new Gaze(offset + asked - 1, true, all);

        int[] Matching(Func<SceneObject, bool> fits) => [.. Enumerable.Range(0, scene.Objects.Count).Where(i => fits(scene.Objects[i]))];
    }
}
