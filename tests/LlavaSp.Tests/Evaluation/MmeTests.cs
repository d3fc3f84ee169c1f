using LlavaSp.Evaluation.Scoring;
using LlavaSp.Tests.Checkpoints;

namespace LlavaSp.Tests.Evaluation;

/// <summary>MME by its own tool's rules.</summary>
public sealed class MmeTests
{
    private const string Ask = "\nAnswer the question using a single word or phrase.";

    [Theory]
    [InlineData("Yes", true)]
    [InlineData("yes.", true)]
    [InlineData(" yes", true)]
    [InlineData("No", false)]
    [InlineData("Not at all", false)]
    [InlineData("None", false)]
    [InlineData("I no", false)]
    // Four letters and no more.
    [InlineData("  yes", null)]
    [InlineData("I know", null)]
    [InlineData("Sure, yes", null)]
    [InlineData("", null)]
    public void FourLettersCount(string text, bool? expected) => Assert.Equal(expected, Mme.SaysYes(text));

    [Fact]
    public void PointsOfQuestionsAndPictures()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder["mme/artwork/images"]);
        Directory.CreateDirectory(folder["mme/artwork/questions_answers_YN"]);
        Directory.CreateDirectory(folder["mme/existence"]);
        Directory.CreateDirectory(folder["mme/code_reasoning"]);
        Truth("artwork/questions_answers_YN/1.txt", "Is it by Monet?");
        Truth("existence/1.txt", "Is there a dog?");
        // Two blanks in front of the request, as in parts of the release.
        Truth("existence/2.txt", "Is there a cat? ");
        Truth("existence/3.txt", "Is there a cow?");
        Truth("code_reasoning/0020.txt", "Is it Python?");
        string answers = folder.Write("a.jsonl", EvaluationFiles.Lines(
            // Half of the pictures and three quarters of the questions: 125 points. All of one picture: 200. None: 0.
            Answer("existence/1.png", "Is there a dog?", "Yes"), Answer("existence/1.png", "Is there a dog? Twice?", "No"),
            Answer("existence/2.png", "Is there a cat?", "Yes"), Answer("existence/2.png", "Is there a cat?  Twice?", "Yes"),
            Answer("artwork/images/1.jpg", "Is it by Monet?", "yes"), Answer("artwork/images/1.jpg", "Is it by Monet? Twice?", "no"),
            Answer("code_reasoning/0020.png", "Is it Python?", "No"), Answer("code_reasoning/0020.png", "Is it Python? Twice?", "Maybe")));
        ScoreReport report = Scorers.Score("mme", new ScoreInput(answers, folder["mme"]));
        Assert.Equal(0.75, report.Metric("accuracy", "existence"));
        Assert.Equal(0.5, report.Metric("accuracy+", "existence"));
        Assert.Equal(125, report.Metric("score", "existence"));
        Assert.Equal(200, report.Metric("score", "artwork"));
        Assert.Equal(0, report.Metric("score", "code_reasoning"));
        Assert.Equal(325, report.Metric("perception"));
        Assert.Equal(0, report.Metric("cognition"));
        Assert.Equal(2, report.Unanswered);
        Assert.Equal(["existence", "artwork", "code_reasoning"], report.Groups.Select(group => group.Name));

        Refused(Answer("existence/1.png", "Is there a dog?", "Yes"), "1 answer(s) about 'existence/1'");
        Refused(Answer("existence/1.png", "Is there a bee?", "Yes"), "line 1", "existence/1");
        Refused(Answer("dogs/1.png", "Is there a dog?", "Yes"), "'dogs/1.png' is not SUBTASK/PICTURE");
        Refused(Answer("count/1.png", "Is there a dog?", "Yes"), "no such folder");
        folder.Write("mme/existence/3.txt", "Is there a cow?\tperhaps\n");
        Refused(Answer("existence/1.png", "Is there a dog?", "Yes"), "3.txt line 1");

        // A question and the same one again, right answers yes and no.
        void Truth(string file, string question) => folder.Write(
            $"mme/{file}", $"{question} Please answer yes or no.\tYes\r\n{question} Twice? Please answer yes or no.\tNo\r\n");

        void Refused(string line, params string[] parts) =>
            EvaluationFiles.Refuses(() => Mme.Score(new ScoreInput(folder.Write("r.jsonl", line), folder["mme"])), parts);
    }

    private static string Answer(string id, string question, string text) => EvaluationFiles.Answer(id, text, question + Ask);
}
