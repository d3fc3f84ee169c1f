using LlavaSp.Evaluation.Scoring;
using LlavaSp.Tests.Checkpoints;

namespace LlavaSp.Tests.Evaluation;

/// <summary>POPE by upstream's rules.</summary>
public sealed class PopeTests
{
    [Theory]
    [InlineData("Yes", true)]
    [InlineData("No", false)]
    [InlineData("no", false)]
    [InlineData("No, there is none", false)]
    [InlineData("There is not a cat.", false)]
    [InlineData("There is no.", false)]
    // Only the first sentence counts.
    [InlineData("Yes. There is no dog.", true)]
    [InlineData("1.5 cats, no dogs", true)]
    // Other words that deny are not looked for, nor other ways to write these.
    [InlineData("NO", true)]
    [InlineData("Not", true)]
    [InlineData("There isn't", true)]
    [InlineData("none", true)]
    [InlineData("no!", true)]
    // A comma goes before words are split, so that two become one; other white space does not split.
    [InlineData("No,thanks", true)]
    [InlineData("\nNo", true)]
    [InlineData("", true)]
    public void TheWordsThatDeny(string text, bool expected) => Assert.Equal(expected, Pope.SaysYes(text));

    [Fact]
    public void CategoriesAreCountedByThemselves()
    {
        using var folder = new TemporaryFolder();
        string questions = folder.Write("q.jsonl", EvaluationFiles.Lines(
            Question(10, "a.jpg", "cat", "random"), Question(11, "a.jpg", "dog", "random"), Question(12, "b.jpg", "cat", "popular"),
            Question(13, "b.jpg", "dog", "popular"), Question(14, "b.jpg", "cow", "popular")));
        Directory.CreateDirectory(folder["coco"]);
        // Ids of the labels are others: the order counts.
        folder.Write("coco/coco_pope_random.json", EvaluationFiles.Lines(Label(1, "a.jpg", "cat", "yes"), Label(2, "a.jpg", "dog", "yes")));
        folder.Write("coco/coco_pope_popular.json", EvaluationFiles.Lines(Label(1, "b.jpg", "cat", "no"), Label(2, "b.jpg", "dog", "no"), Label(3, "b.jpg", "cow", "no")));
        string answers = folder.Answers((10, "Yes"), (11, "No"), (12, "Yes"), (13, "No"), (14, "There is no cow."));
        ScoreReport report = Scorers.Score("pope", new ScoreInput(answers, folder["coco"], questions));

        // All: one true and one false positive, two true and one false negatives.
        Assert.Equal([0.6, 0.5, 0.5, 0.5, 0.4], Metrics(report, null));
        Assert.Equal([0.5, 1, 0.5, 2 / 3.0, 0.5], Metrics(report, "random"));
        // Without any right yes, recall divides nothing by nothing.
        Assert.Equal(2 / 3.0, report.Metric("accuracy", "popular"));
        Assert.Equal(0, report.Metric("precision", "popular"));
        Assert.Equal(double.NaN, report.Metric("recall", "popular"));

        EvaluationFiles.Refuses(() => Pope.Score(new ScoreInput(answers, folder["coco"])), "--questions");
        folder.Write("coco/coco_pope_random.json", EvaluationFiles.Lines(Label(1, "a.jpg", "dog", "yes"), Label(2, "a.jpg", "dog", "yes")));
        EvaluationFiles.Refuses(() => Pope.Score(new ScoreInput(answers, folder["coco"], questions)), "coco_pope_random.json line 1", "'10'");
        folder.Write("coco/coco_pope_random.json", EvaluationFiles.Lines(Label(1, "a.jpg", "cat", "yes")));
        EvaluationFiles.Refuses(() => Pope.Score(new ScoreInput(answers, folder["coco"], questions)), "has 1 lines");
        File.Delete(folder["coco/coco_pope_random.json"]);
        EvaluationFiles.Refuses(() => Pope.Score(new ScoreInput(answers, folder["coco"], questions)), "category 'random'");
    }

    [Fact]
    public void OneFileHasItsOwnLabels()
    {
        using var folder = new TemporaryFolder();
        string labels = folder.Write("coco_pope_adversarial.json", EvaluationFiles.Lines(Label(1, "a.jpg", "cat", "yes"), Label(2, "a.jpg", "dog", "no")));
        ScoreReport report = Pope.Score(new ScoreInput(folder.Answers((2, "no"), (1, "yes")), labels));
        Assert.Equal([1, 1, 1, 1, 0.5], Metrics(report, null));
        Assert.Equal("adversarial", Assert.Single(report.Groups).Name);
        folder.Write("coco_pope_adversarial.json", Label(1, "a.jpg", "cat", "maybe"));
        EvaluationFiles.Refuses(() => Pope.Score(new ScoreInput(folder["answers.jsonl"], labels)), "line 1: 'label' must be yes or no");
    }

    private static double[] Metrics(ScoreReport report, string? group) => [.. report.Group(group).Metrics.Select(metric => metric.Value)];

    private static string Question(int id, string image, string thing, string category) =>
        $$"""{"question_id": {{id}}, "image": "{{image}}", "text": "Is there a {{thing}}?\nAnswer the question using a single word or phrase.", "category": "{{category}}"}""";

    private static string Label(int id, string image, string thing, string label) =>
        $$"""{"question_id": {{id}}, "image": "{{image}}", "text": "Is there a {{thing}}?", "label": "{{label}}"}""";
}
