using LlavaSp.Evaluation.Scoring;
using LlavaSp.Tests.Checkpoints;

namespace LlavaSp.Tests.Evaluation;

/// <summary>VQAv2, TextVQA and VizWiz: one accuracy, three ways of making answers alike.</summary>
public sealed class VqaScoreTests
{
    private const double Exact = 1e-12;

    /// <summary>Of ten people, m agree: m times min(1, (m - 1) / 3) and 10 - m times min(1, m / 3), over ten.</summary>
    [Theory]
    [InlineData(0, 0)]
    [InlineData(1, 0.3)]
    [InlineData(2, 0.6)]
    [InlineData(3, 0.9)]
    [InlineData(4, 1)]
    [InlineData(10, 1)]
    public void EveryPersonIsLeftOutOnce(int agree, double expected) =>
        Assert.Equal(expected, VqaAccuracy.Of("x", People(("x", agree), ("y", 10 - agree))), Exact);

    [Theory]
    [InlineData("Yes.", "yes", 10, "", 1)]
    // People who agree are left as they are, articles and marks included.
    [InlineData("a dog", "a dog", 10, "", 0)]
    [InlineData("yes!", "yes!", 10, "", 0)]
    // People who do not lose their marks, but never their articles and number words.
    [InlineData("t-shirt", "t-shirt", 9, "shirt", 1)]
    [InlineData("the dog", "the dog", 9, "cat", 0)]
    [InlineData("two", "2", 2, "two", 0.6)]
    public void VqaV2Accuracy(string answer, string most, int count, string rest, double expected) =>
        Assert.Equal(expected, VqaV2.Accuracy(answer, People((most, count), (rest, 10 - count))), Exact);

    [Theory]
    [InlineData("dog", "A Dog", 10, "", 1)]
    [InlineData("Two", "2", 2, "two", 1)]
    [InlineData("stop", "STOP!", 1, "go", 0.3)]
    public void TextVqaAccuracy(string answer, string most, int count, string rest, double expected) =>
        Assert.Equal(expected, TextVqa.Accuracy(answer, People((most, count), (rest, 10 - count))), Exact);

    [Theory]
    [InlineData("What is it?\nAnswer the question using a single word or phrase.", "what is it?")]
    [InlineData("What is it?\nReference OCR token: A, B\nAnswer the question using a single word or phrase.", "what is it?")]
    [InlineData("Reference OCR token: A, B\nWhat is it?\nAnswer the question using a single word or phrase.", "what is it?")]
    [InlineData("OCR tokens: A, B. Question: What\nis it? Short answer:", "what\nis it?")]
    [InlineData("OCR tokens: A, B. What is it?\nAnswer", null)]
    [InlineData("What is it?", null)]
    [InlineData("What\nis\nit?", null)]
    public void TheQuestionIsFoundInThePrompt(string prompt, string? expected) => Assert.Equal(expected, TextVqa.QuestionIn(prompt));

    [Fact]
    public void VqaV2IsScoredByType()
    {
        using var folder = new TemporaryFolder();
        string annotations = folder.Write("a.json", $$"""
            {"info": {"version": 2}, "annotations": [
              {"question_id": 1, "image_id": 9, "question_type": "is the", "answer_type": "yes/no", "multiple_choice_answer": "yes", "answers": {{Json(("yes", 10))}}},
              {"question_id": 2, "image_id": 9, "question_type": "how many", "answer_type": "number", "answers": {{Json(("2", 2), ("3", 8))}}},
              {"question_id": 3, "image_id": 9, "question_type": "is the", "answer_type": "yes/no", "answers": {{Json(("no", 10))}}}]}
            """);
        ScoreReport report = Scorers.Score("vqav2", new ScoreInput(folder.Answers((3, "Yes"), (1, "yes."), (2, "two")), annotations));
        Assert.Equal(1.6 / 3, report.Metric("accuracy"), Exact);
        Assert.Equal(3, report.Overall.Questions);
        Assert.Equal(0.5, report.Metric("accuracy", "answer type: yes/no"), Exact);
        Assert.Equal(0.6, report.Metric("accuracy", "question type: how many"), Exact);

        EvaluationFiles.Refuses(
            () => VqaV2.Score(new ScoreInput(folder.Answers((1, "yes")), annotations)), "no answer to 2 of the 3 questions", "the first is '2'", "eval run");
        EvaluationFiles.Refuses(
            () => VqaV2.Score(new ScoreInput(folder.Answers((1, "yes"), (2, "2"), (3, "no"), (4, "no")), annotations)), "line 4: question '4' is not in");
        EvaluationFiles.Refuses(
            () => VqaV2.Score(new ScoreInput(folder.Answers((1, "yes"), (2, "2"), (1, "no")), annotations)), "line 3: question '1' was answered in line 1 already");
    }

    [Fact]
    public void VizWizComparesWithWhatPeopleWrote()
    {
        using var folder = new TemporaryFolder();
        string annotations = folder.Write("val.json", $$"""
            [{"image": "a.jpg", "question": "?", "answers": {{Json(("t-shirt", 10))}}, "answer_type": "other", "answerable": 1},
             {"image": "b.jpg", "question": "?", "answers": {{Json(("unanswerable", 3), ("soup", 7))}}, "answer_type": "unanswerable", "answerable": 0}]
            """);
        string questions = folder.Write("q.jsonl", EvaluationFiles.Lines(
            """{"question_id": "a", "image": "a.jpg", "text": "?"}""", """{"question_id": "b", "image": "b.jpg", "text": "?"}"""));
        ScoreReport report = Scorers.Score("vizwiz", new ScoreInput(folder.Answers(("a", "t-shirt"), ("b", "Unanswerable")), annotations, questions));
        // The model's answer lost its hyphen, the people's did not.
        Assert.Equal(0, report.Metric("accuracy", "answer type: other"));
        Assert.Equal(0.9, report.Metric("accuracy", "answer type: unanswerable"), Exact);
        Assert.Equal(0.45, report.Metric("accuracy"), Exact);
        EvaluationFiles.Refuses(() => VizWiz.Score(new ScoreInput(folder["answers.jsonl"], annotations)), "--questions");
    }

    [Fact]
    public void TextVqaIsMatchedByPictureAndQuestion()
    {
        using var folder = new TemporaryFolder();
        string annotations = folder.Write("val.json", $$"""
            {"data": [
              {"image_id": "p", "question_id": 7, "question": "What Brand?", "answers": {{Texts(("dr pepper", 10))}} },
              {"image_id": "p", "question_id": 8, "question": "what size?", "answers": {{Texts(("one", 2), ("2", 8))}} },
              {"image_id": "r", "question_id": 9, "question": "what size?", "answers": {{Texts(("big", 10))}} }]}
            """);
        string answers = folder.Write("a.jsonl", EvaluationFiles.Lines(
            EvaluationFiles.Answer("p", "Dr. Pepper", "What brand?\nReference OCR token: Dr\nAnswer the question using a single word or phrase."),
            EvaluationFiles.Answer("p", "1", "what size?\nAnswer the question using a single word or phrase.")));
        ScoreReport report = Scorers.Score("textvqa", new ScoreInput(answers, annotations));
        Assert.Equal(0.8, report.Metric("accuracy"), Exact);
        Assert.Equal(2, report.Overall.Questions);
        Assert.Equal(1, report.Unanswered);

        string wrong = folder.Write("w.jsonl", EvaluationFiles.Answer("r", "x", "what brand?\nAnswer"));
        EvaluationFiles.Refuses(() => TextVqa.Score(new ScoreInput(wrong, annotations)), "line 1", "'what brand?' about the picture 'r'");
    }

    [Theory]
    [InlineData("{\"annotations\": [{\"question_id\": 1}]}", "a.json line 1: 'annotations[0]'")]
    [InlineData("{\"annotations\": null}", "a.json line 1: 'annotations'")]
    [InlineData("{\"annotations\":\n [}", "a.json line 2: is not valid JSON")]
    [InlineData("[]", "a.json line 1: is not a JSON object of the right form")]
    [InlineData("", "a.json line 1: is not valid JSON")]
    [InlineData("null", "a.json: null")]
    public void DamagedAnnotationsAreRefused(string text, string expected)
    {
        using var folder = new TemporaryFolder();
        string annotations = folder.Write("a.json", text);
        EvaluationFiles.Refuses(() => VqaV2.Score(new ScoreInput(folder.Answers((1, "yes")), annotations)), expected);
    }

    private static string[] People(params (string Answer, int Count)[] answers) => [.. answers.SelectMany(item => Enumerable.Repeat(item.Answer, item.Count))];

    private static string Json(params (string Answer, int Count)[] answers) =>
        $"[{string.Join(", ", People(answers).Select((answer, i) => $"{{\"answer\": \"{answer}\", \"answer_confidence\": \"yes\", \"answer_id\": {i + 1}}}"))}]";

    private static string Texts(params (string Answer, int Count)[] answers) => $"[{string.Join(", ", People(answers).Select(answer => $"\"{answer}\""))}]";
}
