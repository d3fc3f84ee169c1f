using System.Text;
using LlavaSp.Evaluation.Benchmarks;
using LlavaSp.Tests.Checkpoints;

namespace LlavaSp.Tests.Evaluation;

/// <summary>Question files, good and hostile; the names of pictures in them.</summary>
public sealed class QuestionFileTests
{
    [Fact]
    public void EveryFieldIsRead()
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("q.jsonl",
            "\uFEFF{\"question_id\": 12, \"image\": \"a/b.jpg\", \"text\": \"Ist es grün?\\nJa\", \"category\": \"x\", \"more\": [1]}\r\n"
            + "\n  \n{\"text\": \"?\", \"question_id\": \"n1\", \"image\": null}");
        BenchmarkQuestion[] questions = [.. QuestionFile.Read(path)];
        Assert.Equal([new BenchmarkQuestion(new QuestionId("12", true), "a/b.jpg", "Ist es grün?\nJa", "x"), new BenchmarkQuestion(new QuestionId("n1"), null, "?")], questions);
        Assert.True(questions[0].Id.IsNumber);
        Assert.Equal(new QuestionId("12"), questions[0].Id);
        Assert.NotEqual(new QuestionId("012"), questions[0].Id);
    }

    [Fact]
    public void LinesLongerThanTheBufferAreRead()
    {
        using var folder = new TemporaryFolder();
        string[] texts = [.. Enumerable.Range(0, 60).Select(i => new string((char)('a' + i % 26), i * 5000))];
        string path = folder.Write("q.jsonl", EvaluationFiles.Lines(texts.Select((text, i) => $"{{\"question_id\": {i}, \"text\": \"{text}\"}}")));
        Assert.Equal(texts, QuestionFile.Read(path).Select(question => question.Text));
    }

    [Theory]
    [InlineData("nonsense", "is not valid JSON")]
    [InlineData("{\"question_id\": 1, \"text\": \"a\"", "is not valid JSON")]
    [InlineData("{\"question_id\": 1, \"text\": \"a\"} {}", "is not valid JSON")]
    [InlineData("[]", "is not a JSON object")]
    [InlineData("\"text\"", "is not a JSON object")]
    [InlineData("null", "null, not an object")]
    [InlineData("{\"question_id\": 1}", "'text' is missing")]
    [InlineData("{\"text\": \"a\"}", "'question_id' is missing")]
    [InlineData("{\"question_id\": null, \"text\": \"a\"}", "'question_id' is missing")]
    [InlineData("{\"question_id\": {}, \"text\": \"a\"}", "'question_id' is missing, of the wrong type")]
    [InlineData("{\"question_id\": 1, \"text\": 5}", "'text' is missing, of the wrong type")]
    [InlineData("{\"question_id\": 1, \"text\": \"\\ud800\"}", "Unicode")]
    [InlineData("\u0000", "is not valid JSON")]
    public void ADamagedLineIsNamed(string line, string expected)
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("q.jsonl", "{\"question_id\": 0, \"text\": \"a\"}\n" + line + "\n");
        EvaluationFiles.Refuses(() => _ = QuestionFile.Read(path).Count(), "q.jsonl line 2: ", expected);
    }

    [Fact]
    public void BytesThatAreNoTextAreRefused()
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("q.jsonl", [.. "{\"question_id\": 1, \"text\": \""u8, 0xFF, 0xFE, .. "\"}"u8]);
        EvaluationFiles.Refuses(() => _ = QuestionFile.Read(path).Count(), "q.jsonl line 1: ", "Unicode");
    }

    [Fact]
    public void DeepNestingIsRefused()
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("q.jsonl", "{\"question_id\": 1, \"text\": \"a\", \"x\": " + new string('[', 100_000));
        EvaluationFiles.Refuses(() => _ = QuestionFile.Read(path).Count(), "q.jsonl line 1: is not valid JSON");
    }

    [Fact]
    public void ALineWithoutEndIsRefused()
    {
        using var folder = new TemporaryFolder();
        string path = folder["q.jsonl"];
        // Sparse: it takes no room on the disk.
        using (FileStream stream = File.Create(path)) stream.SetLength(1L << 32);
        EvaluationFiles.Refuses(() => _ = QuestionFile.Read(path).Count(), "q.jsonl line 1: longer than 64 MiB");
    }

    [Fact]
    public void FilesThatAreNotThereAreRefused()
    {
        using var folder = new TemporaryFolder();
        EvaluationFiles.Refuses(() => _ = QuestionFile.Read(folder["none"]).Count(), "none: no such file");
        EvaluationFiles.Refuses(() => _ = QuestionFile.Read(folder.Root).Count(), "is a folder");
        EvaluationFiles.Refuses(() => _ = new PictureFolder(folder["none"]), "none: no such folder");
    }

    [Theory]
    [InlineData("../secret.png")]
    [InlineData("sub/../../secret.png")]
    [InlineData("/etc/passwd")]
    [InlineData("")]
    [InlineData("a\0b")]
    public void NoNameLeadsOutOfTheFolder(string image)
    {
        using var folder = new TemporaryFolder();
        folder.Write("secret.png", "x");
        Directory.CreateDirectory(folder["pictures/sub"]);
        var pictures = new PictureFolder(folder["pictures"]);
        EvaluationFiles.Refuses(() => pictures.PathOf(new BenchmarkQuestion(new QuestionId("q"), image, "?")), "question 'q'", "inside");
    }

    [Fact]
    public void PicturesAreFoundInTheFolder()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder["pictures/sub"]);
        string path = folder.Write("pictures/sub/a.png", "x");
        var pictures = new PictureFolder(folder["pictures"] + "/");
        Assert.Equal(path, pictures.PathOf(new BenchmarkQuestion(new QuestionId("q"), "sub/a.png", "?")));
        Assert.Null(pictures.PathOf(new BenchmarkQuestion(new QuestionId("q"), null, "?")));
        EvaluationFiles.Refuses(() => new PictureFolder(null).PathOf(new BenchmarkQuestion(new QuestionId("q"), "a.png", "?")), "--images");
        EvaluationFiles.Refuses(() => pictures.PathOf(new BenchmarkQuestion(new QuestionId("q"), "sub/b.png", "?")), "question 'q': there is no picture 'sub/b.png'");
    }

    [Fact]
    public void MmBenchHoldsItsPictures()
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("dev.tsv", EvaluationFiles.Lines(
            "index\tquestion\thint\tA\tB\tC\tD\tanswer\timage",
            $"7\twhat?\tlook\tcat\tdog\tnan\tcow\tA\t{Convert.ToBase64String(new byte[30])}",
            $"1000007\twhat?\tnan\tdog\tcat\tcow\t\tB\t7"));
        BenchmarkQuestion[] questions = [.. QuestionFile.Read(path)];
        Assert.Equal(["7", "1000007"], questions.Select(question => question.Id.Text));
        Assert.All(questions, question => Assert.True(question.Id.IsNumber && question.HasImage && question.Image is null));
        Assert.Equal(["look\nwhat?\nA. cat\nB. dog", "what?\nA. dog\nB. cat\nC. cow"], questions.Select(question => question.Text));
        Assert.All(questions, question => Assert.Equal("\nAnswer with the option's letter from the given choices directly.", question.Instruction));
        // The second row names the first one's picture.
        Assert.Equal(new byte[30], questions[0].ImageBytes);
        Assert.Same(questions[0].ImageBytes, questions[1].ImageBytes);

        folder.Write("dev.tsv", "index\tquestion\timage\n8\twhat?\t9\n");
        EvaluationFiles.Refuses(() => _ = QuestionFile.Read(path).Count(), "the picture of question '8' is not base64");
    }

    [Fact]
    public void ScienceQaIsAListOfConversations()
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("llava_test_CQM-A.json", """
             [{"id": "4", "image": "4/image.png", "conversations": [{"from": "human", "value": "What?\nA. x <image>"}, {"from": "gpt", "value": "A"}]},
              {"id": "5", "conversations": [{"from": "human", "value": "Who?"}]}]
            """);
        const string Letter = "\nAnswer with the option's letter from the given choices directly.";
        Assert.Equal(
            [new BenchmarkQuestion(new QuestionId("4"), "4/image.png", $"<image>\nWhat?\nA. x{Letter}"), new BenchmarkQuestion(new QuestionId("5"), null, $"Who?{Letter}")],
            QuestionFile.Read(path));
        folder.Write("llava_test_CQM-A.json", """[{"id": "4", "conversations": []}]""");
        EvaluationFiles.Refuses(() => _ = QuestionFile.Read(path).Count(), "question '4' has no conversation");
        folder.Write("llava_test_CQM-A.json", """[{"id": "4"}]""");
        EvaluationFiles.Refuses(() => _ = QuestionFile.Read(path).Count(), "llava_test_CQM-A.json line 1");
        // POPE's files are called json and made of lines.
        folder.Write("llava_test_CQM-A.json", """{"question_id": 4, "text": "a"}""");
        Assert.Equal("a", Assert.Single(QuestionFile.Read(path)).Text);
    }

    [Fact]
    public void TablesMayHoldTabsAndLines()
    {
        using var folder = new TemporaryFolder();
        TsvTable table = TsvTable.Read(folder.Write("t.tsv", "a\tb\tc\r\n1\t\"x\ty\n\"\"z\"\"\"\tlong 4\"\r\n\n2\tsize 5\"\t\r\n"), "c");
        Assert.Equal(["a", "b", "c"], table.Columns);
        Assert.Equal([["1", "x\ty\n\"z\"", ""], ["2", "size 5\"", ""]], table.Rows);
        Assert.Equal("2", table.Field(table.Rows[1], "a"));
        EvaluationFiles.Refuses(() => table.Field(table.Rows[0], "index"), "has no column index");
    }

    [Theory]
    [InlineData("", "is empty")]
    [InlineData("a\tb\n1\n", "line 2: has 1 fields where there are 2 columns")]
    [InlineData("a\tb\n1\t2\n1\t\"2\n", "line 3: a quotation mark is not closed")]
    [InlineData("a\ta\n", "line 1: does not name the columns")]
    [InlineData("{\"question_id\": 1}\n", "line 1: does not name the columns")]
    public void OtherTablesAreRefused(string text, string expected)
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("t.tsv", text);
        EvaluationFiles.Refuses(() => TsvTable.Read(path), "t.tsv", expected);
    }

    [Fact]
    public void ATableOfOtherBytesIsRefused()
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("t.tsv", Encoding.Latin1.GetBytes("a\tb\n1\tgrün\n"));
        EvaluationFiles.Refuses(() => TsvTable.Read(path), "t.tsv: is not text in UTF-8");
    }
}
