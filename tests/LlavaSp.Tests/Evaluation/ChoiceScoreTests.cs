using LlavaSp.Evaluation.Scoring;
using LlavaSp.Tests.Checkpoints;

namespace LlavaSp.Tests.Evaluation;

/// <summary>Benchmarks whose answers are right or wrong: GQA, ScienceQA, SEED-Bench, MMBench.</summary>
public sealed class ChoiceScoreTests
{
    private static readonly (char, string)[] Animals = [('A', "cat"), ('B', "Dog"), ('C', "teddy bear")];

    [Theory]
    [InlineData("Dog.", "dog")]
    [InlineData("Dog...", "dog")]
    [InlineData("dog. ", "dog. ")]
    [InlineData(" dog", " dog")]
    [InlineData("a dog", "a dog")]
    public void GqaPrediction(string text, string expected) => Assert.Equal(expected, Gqa.Prediction(text));

    [Fact]
    public void GqaCountsBalancedQuestions()
    {
        using var folder = new TemporaryFolder();
        string questions = folder.Write("q.json", """
            {"01": {"answer": "dog", "isBalanced": true, "types": {"structural": "query", "semantic": "obj"}, "imageId": "1"},
             "2": {"answer": "yes", "isBalanced": true, "types": {"structural": "verify"}},
             "3": {"answer": "no", "isBalanced": true, "types": {"structural": "logical"}},
             "4": {"answer": "no", "isBalanced": false, "types": {"structural": "logical"}}}
            """);
        ScoreReport report = Scorers.Score("gqa", new ScoreInput(folder.Answers(("01", "Dog."), (2, "Yes"), (3, "yes"), (4, "yes")), questions));
        Assert.Equal(2 / 3.0, report.Metric("accuracy"));
        Assert.Equal(3, report.Overall.Questions);
        Assert.Equal(0.5, report.Metric("accuracy", "binary"));
        Assert.Equal(1, report.Metric("accuracy", "open"));
        Assert.Equal(0, report.Metric("accuracy", "structural type: logical"));
        EvaluationFiles.Refuses(() => Gqa.Score(new ScoreInput(folder.Answers(("01", "dog")), questions)), "no answer to 3 of the 4");
    }

    [Theory]
    [InlineData("A", 4, 0)]
    [InlineData("B. A cat", 3, 1)]
    // The letter alone with a period is not among upstream's forms.
    [InlineData("B.", 3, -1)]
    [InlineData("B.cat", 3, -1)]
    [InlineData("b", 3, -1)]
    [InlineData(" B", 3, -1)]
    [InlineData("The answer is C.", 4, 2)]
    [InlineData("So: The answer is C!", 4, 2)]
    [InlineData("The answer is C", 4, -1)]
    [InlineData("The answer is C\n", 4, -1)]
    [InlineData("The answer is A. The answer is B.", 4, -1)]
    [InlineData("the answer is A.", 4, -1)]
    [InlineData("A. The answer is B.", 4, 0)]
    [InlineData("D", 3, -1)]
    [InlineData("The answer is D.", 3, -1)]
    [InlineData("The answer is Z.", 5, -1)]
    [InlineData("", 4, -1)]
    public void ScienceQaOption(string text, int choices, int expected) => Assert.Equal(expected, ScienceQa.OptionIn(text, choices));

    [Fact]
    public void ScienceQaCountsWhatIsMissingAsWrong()
    {
        using var folder = new TemporaryFolder();
        folder.Write("pid_splits.json", """{"test": ["1", "2", "3"], "val": ["4"]}""");
        folder.Write("problems.json", """
            {"1": {"question": "?", "choices": ["x", "y"], "answer": 1, "image": "image.png", "subject": "natural science"},
             "2": {"question": "?", "choices": ["x", "y"], "answer": 0, "image": null, "subject": "natural science"},
             "3": {"question": "?", "choices": ["x", "y"], "answer": 0, "image": null},
             "4": {"question": "?", "choices": ["x", "y"], "answer": 0, "image": null, "subject": "social science"}}
            """);
        string answers = folder.Answers(("1", "B"), ("2", "A. x"));
        ScoreReport report = Scorers.Score("scienceqa", new ScoreInput(answers, folder.Root));
        Assert.Equal(2 / 3.0, report.Metric("accuracy"));
        Assert.Equal(1, report.Metric("accuracy", "with picture"));
        Assert.Equal(0.5, report.Metric("accuracy", "without picture"));
        Assert.Equal(0, report.Metric("accuracy", "subject: none"));
        Assert.Equal(1, report.Unanswered);
        EvaluationFiles.Refuses(() => ScienceQa.Score(new ScoreInput(answers, folder.Root, Split: "val")), "answers 2 problems that are not in the split 'val'");
        EvaluationFiles.Refuses(() => ScienceQa.Score(new ScoreInput(answers, folder.Root, Split: "x")), "choose one of 'test', 'val'");
    }

    [Fact]
    public void SeedWantsTheLetterAlone()
    {
        using var folder = new TemporaryFolder();
        string annotations = folder.Write("seed.json", """
            {"question_type": {"Scene Understanding": 1, "Action Recognition": 10}, "questions": [
             {"question_id": "101", "question_type_id": 1, "answer": "A", "data_type": "image"},
             {"question_id": "102", "question_type_id": 1, "answer": "B", "data_type": "image"},
             {"question_id": "v1", "question_type_id": 10, "answer": "C", "data_type": "video"},
             {"question_id": "v2", "question_type_id": 10, "answer": "C", "data_type": "video"}]}
            """);
        ScoreReport report = Scorers.Score("seed", new ScoreInput(folder.Answers((101, "A"), (102, "B."), ("v1", "C")), annotations));
        Assert.Equal(0.5, report.Metric("accuracy"));
        Assert.Equal(0.5, report.Metric("accuracy", "question type: Scene Understanding"));
        Assert.Equal(0.5, report.Metric("accuracy", "data: video"));
        Assert.Equal(1, report.Unanswered);
        EvaluationFiles.Refuses(() => SeedBench.Score(new ScoreInput(folder.Answers((5, "A")), annotations)), "not in");
    }

    [Theory]
    [InlineData("B", 'B')]
    [InlineData("B.", 'B')]
    [InlineData("(B)", 'B')]
    [InlineData("Answer :B).", 'B')]
    [InlineData("The answer is B, really", 'B')]
    [InlineData("E", 'E')]
    [InlineData("A it is", 'A')]
    // In four words and more A may be the article; then the texts of the options decide.
    [InlineData("A dog on grass", 'B')]
    [InlineData("A or B", null)]
    // Two letters by themselves, one with a period.
    [InlineData("C or B or: A.", 'A')]
    [InlineData("It is a Teddy bear.", 'C')]
    [InlineData("a cat and a dog", null)]
    [InlineData("b", null)]
    [InlineData("a spider", null)]
    public void OptionOfAFreeAnswer(string answer, char? expected) => Assert.Equal(expected, OptionLetter.In(answer, Animals));

    [Fact]
    public void MmBenchWantsEveryRoundRight()
    {
        using var folder = new TemporaryFolder();
        string table = folder.Write("dev.tsv", EvaluationFiles.Lines(
            "index\tquestion\thint\tA\tB\tC\tD\tanswer\tcategory\timage\tsource\tl2-category\tcomment\tsplit",
            "1\twhat?\tnan\tcat\tdog\t\t\tA\tocr\tAAAA\ts\tfine\tnan\tdev",
            "1000001\twhat?\tnan\tdog\tcat\t\t\tB\tocr\tAAAA\ts\tfine\tnan\tdev",
            "2\t\"who, \"\"you\"\"?\"\t\tcat\tdog\tcow\t\tC\tcount\tAAAA\ts\tcoarse\tnan\tdev",
            "3\twho?\t\tcat\tdog\tcow\t\tC\tcount\tAAAA\ts\tcoarse\tnan\tdev"));
        ScoreReport report = Scorers.Score("mmbench", new ScoreInput(folder.Answers((1, "A"), (1000001, "A. dog"), (2, "it is a cow")), table));
        Assert.Equal(1 / 3.0, report.Metric("accuracy"));
        Assert.Equal(3, report.Overall.Questions);
        Assert.Equal(0.5, report.Metric("single rounds"));
        Assert.Equal(0, report.Metric("accuracy", "category: ocr"));
        Assert.Equal(0.5, report.Metric("accuracy", "l2-category: coarse"));
        Assert.Equal(1, report.Unanswered);
        EvaluationFiles.Refuses(() => MmBench.Score(new ScoreInput(folder.Answers((9, "A")), table)), "not in");
    }
}
