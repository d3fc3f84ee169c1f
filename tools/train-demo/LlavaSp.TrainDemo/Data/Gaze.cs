using LlavaSp.Worlds.Questions;
using LlavaSp.Worlds.Scenes;

namespace LlavaSp.TrainDemo.Data;

/// <summary>
/// Where a position of a packed question should look: a noun at what it names, a position that predicts the answer at what the answer is about.
/// </summary>
/// <param name="At">Place in <see cref="PackedQuestions.Ids"/>.</param>
/// <param name="Answers">Whether it predicts a word of the answer.</param>
/// <param name="Objects">Places of the objects in the scene; none where nothing is as the text says.</param>
/// <param name="LeftOut">Places of those that are left out of the choice: <see cref="Phrase.IsNeverLike"/>.</param>
/// <param name="Labels">What the object is like, where there is one only: for each <see cref="MentionTask"/>.</param>
internal sealed record Gaze(int At, bool Answers, int[] Objects, int[] LeftOut, Label[] Labels)
{
    /// <summary>The gazes of one question.</summary>
    /// <param name="words">Words of question and answer, one for each token.</param>
    /// <param name="asked">How many of them are the question's.</param>
    /// <param name="offset">Place of the first.</param>
    /// <param name="scene">The scene.</param>
    /// <param name="colours">The picture's colours.</param>
    public static IEnumerable<Gaze> Of(IReadOnlyList<string> words, int asked, int offset, Scene scene, PictureColours colours)
    {
        Phrase[] named = [.. NamedObjects.In([.. words.Take(asked)])];
        foreach (Phrase phrase in named) yield return Towards(phrase.Noun, false, Where(phrase.Fits), [phrase]);
        int[] all = Where(item => Array.Exists(named, phrase => phrase.Fits(item)));
        bool said = false;
        foreach (Phrase phrase in NamedObjects.In([.. words.Skip(asked)]))
        {
            said = true;
            // Of those it fits, the ones that were asked about: "star" is said of one, even where there are two.
            int[] objects = Where(phrase.Fits), meant = [.. objects.Intersect(all)];
            // Each word is predicted at the place before it.
            for (int word = phrase.First; word <= phrase.Noun; word++) yield return Towards(asked + word - 1, true, meant.Length > 0 ? meant : objects, [phrase]);
        }

        if (!said && named.Length > 0) yield return Towards(asked - 1, true, all, named);

        Gaze Towards(int at, bool answers, int[] objects, Phrase[] phrases) => new(
            offset + at, answers, objects, [.. Where(item => Array.Exists(phrases, phrase => phrase.IsNeverLike(item, colours))).Except(objects)],
            Mention.Of(objects.Length == 1 ? scene.Objects[objects[0]] : null, colours));

        int[] Where(Func<SceneObject, bool> holds) => [.. Enumerable.Range(0, scene.Objects.Count).Where(i => holds(scene.Objects[i]))];
    }
}
