using System.Text;
using System.Text.Json;
using LlavaSp.Evaluation.Benchmarks;
using LlavaSp.Tests.Checkpoints;

namespace LlavaSp.Tests.Evaluation;

/// <summary>Answer files: continued after any interruption, and never harmed.</summary>
public sealed class AnswerFileTests
{
    private static readonly BenchmarkAnswer First = new(new QuestionId("1", true), "What?\nSay.", "Grün \"é\"\n😀", "a1", "m");
    private static readonly BenchmarkAnswer Second = new(new QuestionId("b/2"), "Who?", "", "a2", "m");

    [Fact]
    public void LinesHaveUpstreamsFields()
    {
        using var folder = new TemporaryFolder();
        Write(folder["a"], First, Second);
        string[] lines = File.ReadAllLines(folder["a"]);
        Assert.Equal(2, lines.Length);
        using JsonDocument line = JsonDocument.Parse(lines[0]);
        Assert.Equal(["question_id", "prompt", "text", "answer_id", "model_id", "metadata"], line.RootElement.EnumerateObject().Select(field => field.Name));
        Assert.Equal(1, line.RootElement.GetProperty("question_id").GetInt32());
        Assert.Equal(JsonValueKind.Object, line.RootElement.GetProperty("metadata").ValueKind);
        Assert.Equal([(First, 1), (Second, 2)], AnswerFile.Read(folder["a"]));
    }

    /// <summary>Wherever an interruption cuts the last line, the next run goes on from the line before.</summary>
    [Fact]
    public void EveryTornLineIsCutOff()
    {
        using var folder = new TemporaryFolder();
        Write(folder["a"], Second, First);
        byte[] whole = File.ReadAllBytes(folder["a"]);
        int last = Array.IndexOf(whole, (byte)'\n') + 1;
        for (int length = last; length <= whole.Length; length++)
        {
            File.WriteAllBytes(folder["a"], whole[..length]);
            using (AnswerFile file = AnswerFile.Continue(folder["a"]))
            {
                // Only its line break is missing: the answer counts.
                bool isWhole = length >= whole.Length - 1;
                Assert.Equal(isWhole ? [Second, First] : [Second], file.Earlier.Select(item => item.Answer));
                Assert.Equal(isWhole ? 0 : length - last, file.CutBytes);
                if (!isWhole) file.Append(First);
            }

            Assert.Equal(whole, File.ReadAllBytes(folder["a"]));
        }
    }

    [Theory]
    [InlineData("not an answer")]
    [InlineData("{\"question_id\": 1}")]
    [InlineData("{\"question_id\": 1, \"prompt\": \"?\", \"text\": 5}")]
    [InlineData("[\"{\"")]
    [InlineData("{\"a\": \"\u0001")]
    [InlineData("{\"a\": 1}\n{\"question_id\"")]
    [InlineData("\u0089PNG\r\n\u001a\n\0\0\0")]
    public void OtherFilesAreRefusedAndLeftAlone(string text)
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("a", Encoding.Latin1.GetBytes(text));
        EvaluationFiles.Refuses(() => AnswerFile.Continue(path), "a line 1: ");
        Assert.Equal(Encoding.Latin1.GetBytes(text), File.ReadAllBytes(path));
    }

    [Fact]
    public void ADamagedLineInTheMiddleIsRefused()
    {
        using var folder = new TemporaryFolder();
        string text = EvaluationFiles.Lines(EvaluationFiles.Answer(1, "a"), "{\"question_id\": 2, \"pro", EvaluationFiles.Answer(3, "c"));
        string path = folder.Write("a", text);
        EvaluationFiles.Refuses(() => AnswerFile.Continue(path), "a line 2: is not valid JSON");
        Assert.Equal(text, File.ReadAllText(path));
    }

    [Fact]
    public void TwoRunsDoNotWriteOneFile()
    {
        using var folder = new TemporaryFolder();
        using (AnswerFile file = AnswerFile.Continue(folder["a"]))
        {
            EvaluationFiles.Refuses(() => AnswerFile.Continue(folder["a"]), "a cannot be written");
            file.Append(First);
        }

        Assert.Equal(First, Assert.Single(AnswerFile.Read(folder["a"])).Answer);
    }

    [Fact]
    public void PlacesThatCannotBeWrittenAreRefused()
    {
        using var folder = new TemporaryFolder();
        EvaluationFiles.Refuses(() => AnswerFile.Continue(folder["none/a"]), "cannot be written");
        EvaluationFiles.Refuses(() => AnswerFile.Continue(folder.Root), "cannot be written");
    }

    [Fact]
    public void OnlyWhatIsNotAnsweredIsAsked()
    {
        using var folder = new TemporaryFolder();
        // MME and TextVQA have one id for several questions; one of these is there twice.
        BenchmarkQuestion[] questions = [Question("p", "one"), Question("p", "two"), Question("q", "one"), Question("p", "two")];
        folder.Write("a", EvaluationFiles.Lines(EvaluationFiles.Answer("p", "x", "two"), EvaluationFiles.Answer("q", "x", "one")));
        using (AnswerFile file = AnswerFile.Continue(folder["a"]))
        {
            var run = new BenchmarkRun(questions, file, "m");
            Assert.Equal(2, run.Answered);
            Assert.Equal([questions[0], questions[3]], run.Pending);
            int done = 0;
            run.AnswerAll(Echo, 1, () => done++, CancellationToken.None);
            Assert.Equal(2, done);
        }

        Assert.Equal(["x", "x", "p one", "p two"], AnswerFile.Read(folder["a"]).Select(item => item.Answer.Text));
        // Those that were there have one id, "x"; new ones have their own.
        Assert.Equal(3, AnswerFile.Read(folder["a"]).Select(item => item.Answer.AnswerId).Distinct().Count());
        using AnswerFile again = AnswerFile.Continue(folder["a"]);
        Assert.Empty(new BenchmarkRun(questions, again, "m").Pending);
    }

    [Fact]
    public void ABatchIsInTheFileBeforeTheNextIsAsked()
    {
        using var folder = new TemporaryFolder();
        BenchmarkQuestion[] questions = [.. Enumerable.Range(0, 5).Select(i => Question("p", $"{i}"))];
        var asked = new List<int>();
        using (AnswerFile file = AnswerFile.Continue(folder["a"]))
        {
            var run = new BenchmarkRun(questions, file, "m");
            Assert.Throws<InvalidOperationException>(() => run.AnswerAll(
                some =>
                {
                    asked.Add(some.Count);
                    return asked.Count < 3 ? Echo(some) : throw new InvalidOperationException();
                },
                2, static () => { }, CancellationToken.None));
        }

        Assert.Equal([2, 2, 1], asked);
        Assert.Equal(["p 0", "p 1", "p 2", "p 3"], AnswerFile.Read(folder["a"]).Select(item => item.Answer.Text));
    }

    [Fact]
    public void AnswersOfOthersAreRefused()
    {
        using var folder = new TemporaryFolder();
        folder.Write("a", EvaluationFiles.Lines(EvaluationFiles.Answer("p", "x", "one"), EvaluationFiles.Answer("q", "x", "one")));
        using AnswerFile file = AnswerFile.Continue(folder["a"]);
        EvaluationFiles.Refuses(() => _ = new BenchmarkRun([Question("p", "one"), Question("q", "one")], file, "n"), "line 1: an answer of the model 'm'", "'n'");
        EvaluationFiles.Refuses(() => _ = new BenchmarkRun([Question("p", "one")], file, "m"), "line 2: no question of this run");
        EvaluationFiles.Refuses(() => _ = new BenchmarkRun([Question("p", "one"), Question("q", "two")], file, "m"), "line 2: no question of this run");
    }

    [Fact]
    public void ACancelledRunKeepsWhatItHas()
    {
        using var folder = new TemporaryFolder();
        using var cancel = new CancellationTokenSource();
        BenchmarkQuestion[] questions = [Question("p", "one"), Question("q", "two"), Question("r", "three")];
        using (AnswerFile file = AnswerFile.Continue(folder["a"]))
        {
            var run = new BenchmarkRun(questions, file, "m");
            Assert.Throws<OperationCanceledException>(() => run.AnswerAll(static some => [.. some.Select(static _ => "x")], 1, cancel.Cancel, cancel.Token));
        }

        using AnswerFile next = AnswerFile.Continue(folder["a"]);
        Assert.Equal(questions[1..], new BenchmarkRun(questions, next, "m").Pending);
    }

    private static IReadOnlyList<string> Echo(IReadOnlyList<BenchmarkQuestion> questions) => [.. questions.Select(question => $"{question.Id} {question.Text}")];

    private static BenchmarkQuestion Question(string id, string text) => new(new QuestionId(id), null, text);

    private static void Write(string path, params BenchmarkAnswer[] answers)
    {
        using AnswerFile file = AnswerFile.Continue(path);
        foreach (BenchmarkAnswer answer in answers) file.Append(answer);
    }
}
