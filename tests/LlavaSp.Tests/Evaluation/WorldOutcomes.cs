using LlavaSp.Evaluation.Worlds;
using LlavaSp.Worlds.Questions;

namespace LlavaSp.Tests.Evaluation;

/// <summary>Outcomes and runs, made by hand.</summary>
internal static class WorldOutcomes
{
    /// <summary>Questions of one family about one scene, one for each letter: R right, w wrong; right answers say <paramref name="answer"/>.</summary>
    public static IEnumerable<QuestionOutcome> Of(int scene, QuestionFamily family, string letters, bool heldOut = false, string answer = "yes") =>
        letters.Select(letter => new QuestionOutcome(scene, family, "any", heldOut, letter == 'R', letter == 'R' ? answer : "no"));

    /// <summary>A run on scenes that all have ten questions of existence and two of counting, so many of which are right.</summary>
    public static WorldRun Run(string variant, string format, int existence, int counting = 2, string device = "cpu", int scenes = 20, string answer = "yes") => new(
        variant, format, device,
        [
            .. Enumerable.Range(0, scenes).SelectMany(scene =>
                Of(scene, QuestionFamily.Existence, Letters(existence, 10), answer: answer).Concat(Of(scene, QuestionFamily.Counting, Letters(counting, 2), answer: answer))),
        ]);

    private static string Letters(int right, int all) => new string('R', right) + new string('w', all - right);
}
