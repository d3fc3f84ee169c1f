using LlavaSp.Evaluation.Worlds;
using LlavaSp.Worlds.Questions;

namespace LlavaSp.Tests.Evaluation;

/// <summary>Accuracies by hand, and what intervals over scenes must be.</summary>
public sealed class SceneScoresTests
{
    private static readonly QuestionOutcome[] ByHand =
    [
        .. WorldOutcomes.Of(3, QuestionFamily.Existence, "RRw"), .. WorldOutcomes.Of(3, QuestionFamily.Counting, "w", heldOut: true),
        .. WorldOutcomes.Of(8, QuestionFamily.Existence, "R", heldOut: true), .. WorldOutcomes.Of(8, QuestionFamily.Counting, "R"),
    ];

    [Fact]
    public void AccuraciesAreThoseByHand()
    {
        SceneScores scores = SceneScores.Of(ByHand);
        Assert.Equal(2, scores.Scenes);
        Assert.Equal(6, scores.Questions);
        Assert.Equal([QuestionFamily.Existence, QuestionFamily.Counting], scores.Families);
        Assert.Equal(4, scores.QuestionsOf(QuestionFamily.Existence));
        // Scene 3 alone has 2 of 3, scene 8 alone 1 of 1, both 3 of 4.
        Assert.Equal(new Interval(0.75, 2.0 / 3, 1), scores.Family(QuestionFamily.Existence));
        Assert.Equal(new Interval(0.5, 0, 1), scores.Family(QuestionFamily.Counting));
        Assert.Equal((0.75 + 0.5) / 2, scores.Mean().Value);
        Assert.Equal(4.0 / 6, scores.AllQuestions().Value);
    }

    [Fact]
    public void AFilterKeepsTheScenes()
    {
        SceneScores heldOut = SceneScores.Of(ByHand, static outcome => outcome.HeldOut), others = SceneScores.Of(ByHand, static outcome => !outcome.HeldOut);
        Assert.Equal((2, 2), (heldOut.Scenes, heldOut.Questions));
        Assert.Equal(4, others.Questions);
        // Held out: existence 1 of 1, counting 0 of 1; others 2 of 3 and 1 of 1.
        Assert.Equal(0.5 - (((2.0 / 3) + 1) / 2), heldOut.MeanLess(others).Value, 12);
    }

    [Fact]
    public void AnIntervalContainsItsMean()
    {
        SceneScores scores = SceneScores.Of([.. Enumerable.Range(0, 60).SelectMany(static scene =>
            WorldOutcomes.Of(scene, QuestionFamily.Spatial, scene % 3 == 0 ? "RwR" : "RRR").Concat(WorldOutcomes.Of(scene, QuestionFamily.Caption, scene % 4 == 0 ? "w" : "R")))]);
        foreach (Interval interval in (Interval[])[scores.Mean(), scores.AllQuestions(), .. scores.Families.Select(scores.Family)])
        {
            Assert.True(interval.Low < interval.Value && interval.Value < interval.High);
            Assert.InRange(interval.High - interval.Low, 0.02, 0.3);
        }

        Assert.Equal(scores.Mean(), scores.Mean());
    }

    /// <summary>Ten questions that fall together tell as much as one.</summary>
    [Fact]
    public void QuestionsOfOneSceneAreNotIndependent()
    {
        SceneScores together = SceneScores.Of([.. Enumerable.Range(0, 100).SelectMany(static scene =>
            WorldOutcomes.Of(scene, QuestionFamily.Existence, new string(scene % 2 == 0 ? 'R' : 'w', 10)))]);
        SceneScores apart = SceneScores.Of([.. Enumerable.Range(0, 1000).SelectMany(static scene =>
            WorldOutcomes.Of(scene, QuestionFamily.Existence, scene % 2 == 0 ? "R" : "w"))]);
        Interval wide = together.Mean(), narrow = apart.Mean();
        Assert.Equal(narrow.Value, wide.Value);
        Assert.Equal(Math.Sqrt(10), (wide.High - wide.Low) / (narrow.High - narrow.Low), 0.4);
    }

    [Fact]
    public void ARunLessItselfIsExactlyNothing()
    {
        SceneScores scores = SceneScores.Of(ByHand), again = SceneScores.Of([.. ByHand]);
        Assert.Equal(default, scores.MeanLess(again));
        Assert.Equal(default, scores.FamilyLess(again, QuestionFamily.Existence));
    }

    /// <summary>Runs that fail in the same scenes differ by less than each of them varies.</summary>
    [Fact]
    public void PairsSeeWhatBothHaveInCommon()
    {
        static SceneScores Scores(string hard) => SceneScores.Of([.. Enumerable.Range(0, 100).SelectMany(scene =>
            WorldOutcomes.Of(scene, QuestionFamily.Existence, scene % 2 == 0 ? "RRRRRRRRRR" : hard))]);
        SceneScores worse = Scores("wwwwwwwwww"), better = Scores("Rwwwwwwwww");
        Interval difference = better.MeanLess(worse);
        Assert.Equal(0.05, difference.Value, 12);
        Assert.True(difference.IsAbove(0));
        Assert.True(worse.MeanLess(better).IsBelow(0));
        Assert.True(better.Mean().Low < worse.Mean().High);
    }

    [Fact]
    public void OtherScenesCannotBePaired() => Assert.Throws<ArgumentException>(static () =>
        SceneScores.Of(ByHand).MeanLess(SceneScores.Of([.. WorldOutcomes.Of(3, QuestionFamily.Existence, "R")])));
}
