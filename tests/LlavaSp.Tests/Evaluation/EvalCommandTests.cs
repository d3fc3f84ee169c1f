using System.Diagnostics;
using System.Text.Json;
using LlavaSp.Evaluation.Benchmarks;
using LlavaSp.Tests.Checkpoints;
using LlavaSp.Tests.Cli;

namespace LlavaSp.Tests.Evaluation;

/// <summary><c>eval run</c>, <c>eval score</c> and <c>eval submit</c> with the embedded checkpoint.</summary>
public sealed class EvalCommandTests
{
    private const string Prompt = "What is shown?";

    private static readonly string QuestionLines = EvaluationFiles.Lines(
        """{"question_id": 1, "image": "shapes.png", "text": "Is there a cat?", "category": "a"}""",
        """{"question_id": 2, "image": "shapes.png", "text": "What is shown?", "category": "a"}""",
        """{"question_id": "x", "image": "board.png", "text": "What is written?"}""",
        """{"question_id": 4, "text": "What is two and two?"}""");

    [Fact]
    public void AnswersAreThoseOfDescribe()
    {
        using var folder = new TemporaryFolder();
        JsonElement json = Run(folder, "--json").Json;
        Assert.Equal(4, json.GetProperty("answered").GetInt32());
        Assert.Equal("llava-sp-v1-demo-cropping-lora", json.GetProperty("model_id").GetString());
        Assert.Equal("reference", json.GetProperty("device").GetProperty("name").GetString());
        BenchmarkAnswer[] answers = Answers(folder["a.jsonl"]);
        Assert.Equal(["1", "2", "x", "4"], answers.Select(answer => answer.Id.Text));
        Assert.All(answers, answer => Assert.Equal("llava-sp-v1-demo-cropping-lora", answer.ModelId));
        // The second question about one picture shares the first one's cache.
        Assert.Equal(Prompt, answers[1].Prompt);
        Assert.Equal(
            CliTool.Run("describe", CliTool.Shapes, "--prompt", Prompt, "--device", "reference", "--max-new-tokens", "4", "--json").Json.GetProperty("text").GetString(),
            answers[1].Text);
    }

    [Fact]
    public void MmBenchNeedsNoPictureFolder()
    {
        using var folder = new TemporaryFolder();
        string table = folder.Write("dev.tsv", EvaluationFiles.Lines(
            "index\tquestion\tA\tB\tanswer\timage", $"7\twhat?\tcat\tdog\tA\t{Convert.ToBase64String(File.ReadAllBytes(CliTool.Shapes))}"));
        string[] model = ["--device", "reference", "--max-new-tokens", "4", "--json"];
        Assert.Equal(1, CliTool.Run(["eval", "run", "--questions", table, "--answers", folder["a.jsonl"], .. model]).Json.GetProperty("answered").GetInt32());
        BenchmarkAnswer answer = Assert.Single(Answers(folder["a.jsonl"]));
        Assert.Equal("what?\nA. cat\nB. dog", answer.Prompt);
        string asked = $"{answer.Prompt}\nAnswer with the option's letter from the given choices directly.";
        Assert.Equal(CliTool.Run(["describe", CliTool.Shapes, "--prompt", asked, .. model]).Json.GetProperty("text").GetString(), answer.Text);
        Assert.Equal(0, CliTool.Run("eval", "submit", "mmbench", "--answers", folder["a.jsonl"], "--questions", table, "--out", folder["s.xlsx"]).ExitCode);
        Assert.True(File.ReadAllBytes(folder["s.xlsx"]).AsSpan().StartsWith("PK"u8));
    }

    [Fact]
    public void AnInterruptedRunIsContinued()
    {
        using var folder = new TemporaryFolder();
        Assert.Equal(0, Run(folder).ExitCode);
        BenchmarkAnswer[] whole = Answers(folder["a.jsonl"]);
        string[] lines = File.ReadAllLines(folder["a.jsonl"]);
        File.WriteAllText(folder["a.jsonl"], $"{lines[0]}\n{lines[1]}\n{lines[2][..40]}");
        CliResult result = Run(folder);
        Assert.Equal(0, result.ExitCode);
        Assert.Contains("tore its last line, 40 bytes", result.Error, StringComparison.Ordinal);
        Assert.Contains("2 questions answered, 2 were before", result.Output, StringComparison.Ordinal);
        Assert.Equal(lines[..2], File.ReadAllLines(folder["a.jsonl"])[..2]);
        Assert.Equal(whole.Select(answer => answer with { AnswerId = "" }), Answers(folder["a.jsonl"]).Select(answer => answer with { AnswerId = "" }));

        JsonElement nothing = Run(folder, "--json").Json;
        Assert.Equal(0, nothing.GetProperty("answered").GetInt32());
        Assert.Equal(4, nothing.GetProperty("answered_before").GetInt32());
    }

    [Fact]
    public void ChunksTogetherAreTheWhole()
    {
        using var folder = new TemporaryFolder();
        Run(folder);
        string[] whole = [.. Answers(folder["a.jsonl"]).Select(answer => answer.Id.Text + answer.Text)];
        var parts = new List<string>();
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(0, CliTool.Run(Arguments(folder, $"part{i}.jsonl", "--num-chunks", "3", "--chunk-idx", $"{i}")).ExitCode);
            parts.AddRange(Answers(folder[$"part{i}.jsonl"]).Select(answer => answer.Id.Text + answer.Text));
        }

        Assert.Equal(whole, parts);
        Assert.Equal(2, Answers(folder["part1.jsonl"]).Length);
        Assert.Empty(File.ReadAllBytes(folder["part2.jsonl"]));
    }

    [Fact]
    public async Task CtrlCLeavesAFileToContinue()
    {
        if (OperatingSystem.IsWindows()) Assert.Skip("there is no SIGINT to send on Windows");
        using var folder = new TemporaryFolder();
        folder.Write("q.jsonl", EvaluationFiles.Lines(Enumerable.Range(0, 3000).Select(i => $"{{\"question_id\": {i}, \"text\": \"What is {i} and {i}?\"}}")));
        using Process process = CliTool.Start(Arguments(folder, "a.jsonl"));
        process.StandardInput.Close();
        while (!process.HasExited && (!File.Exists(folder["a.jsonl"]) || new FileInfo(folder["a.jsonl"]).Length == 0))
            await Task.Delay(5, TestContext.Current.CancellationToken);
        CliTool.Interrupt(process);
        Assert.Equal(130, CliTool.WaitForExit(process));
        Assert.DoesNotContain("rror", await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);
        BenchmarkAnswer[] answers = Answers(folder["a.jsonl"]);
        Assert.InRange(answers.Length, 1, 2999);
        Assert.Equal(Enumerable.Range(0, answers.Length).Select(i => $"{i}"), answers.Select(answer => answer.Id.Text));
        Assert.Equal((byte)'\n', File.ReadAllBytes(folder["a.jsonl"])[^1]);
    }

    /// <summary>As a full disk does, the limit takes the first part of a line.</summary>
    [Fact]
    public async Task AFailedWriteLeavesWholeAnswers()
    {
        if (OperatingSystem.IsWindows()) Assert.Skip("Windows has no limit on the size of a process's files");
        using var folder = new TemporaryFolder();
        folder.Write("q.jsonl", EvaluationFiles.Lines(Enumerable.Range(0, 40).Select(i => $"{{\"question_id\": {i}, \"text\": \"What is {i} and {i}?\"}}")));
        using Process process = CliTool.Start(Arguments(folder, "a.jsonl", "--model", Goldens.Checkpoint("pooling-bf16")), kilobytesOfFiles: 2);
        process.StandardInput.Close();
        Task<string> output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        string error = await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        new CliResult(CliTool.WaitForExit(process), await output, error).IsRefusal("a.jsonl cannot be written");
        BenchmarkAnswer[] answers = Answers(folder["a.jsonl"]);
        Assert.InRange(answers.Length, 5, 39);
        Assert.Equal(Enumerable.Range(0, answers.Length).Select(i => $"{i}"), answers.Select(answer => answer.Id.Text));
    }

    [Fact]
    public void ScoresAreATableOrJson()
    {
        using var folder = new TemporaryFolder();
        string labels = folder.Write("coco_pope_random.json", EvaluationFiles.Lines(
            """{"question_id": 1, "label": "yes"}""", """{"question_id": 2, "label": "no"}""", """{"question_id": 3, "label": "no"}"""));
        string[] arguments = ["eval", "score", "pope", "--answers", folder.Answers((1, "Yes"), (2, "No"), (3, "Yes")), "--annotations", labels];
        CliResult table = CliTool.Run(arguments);
        Assert.Equal(0, table.ExitCode);
        Assert.Equal("", table.Error);
        Assert.Equal(["pope", "random", "all"], table.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split(' ')[0]));
        Assert.Contains("66.67 %", table.Output, StringComparison.Ordinal);
        JsonElement json = CliTool.Run([.. arguments, "--json"]).Json;
        Assert.Equal("pope", json.GetProperty("benchmark").GetString());
        Assert.Equal(3, json.GetProperty("questions").GetInt32());
        Assert.Equal(0.666667, json.GetProperty("accuracy").GetDouble());
        Assert.Equal(1, json.GetProperty("recall").GetDouble());
        Assert.Equal("random", Assert.Single(json.GetProperty("groups").EnumerateArray()).GetProperty("name").GetString());

        folder.Write("coco_pope_random.json", EvaluationFiles.Lines(Enumerable.Range(1, 3).Select(i => $"{{\"question_id\": {i}, \"label\": \"no\"}}")));
        Assert.Equal(JsonValueKind.Null, CliTool.Run([.. arguments, "--json"]).Json.GetProperty("recall").ValueKind);
    }

    [Fact]
    public void SubmissionsAreWrittenWholeOrNotAtAll()
    {
        using var folder = new TemporaryFolder();
        string answers = folder.Answers((1, "Yes"));
        Assert.Equal(0, CliTool.Run("eval", "submit", "mmvet", "--answers", answers, "--out", folder["s.json"]).ExitCode);
        string written = File.ReadAllText(folder["s.json"]);
        using JsonDocument json = JsonDocument.Parse(written);
        Assert.Equal("Yes", json.RootElement.GetProperty("v1_1").GetString());
        folder.Answers((1, "Yes"), (1, "No"));
        CliTool.Run("eval", "submit", "mmvet", "--answers", answers, "--out", folder["s.json"]).IsRefusal("line 2");
        Assert.Equal(written, File.ReadAllText(folder["s.json"]));
        Assert.Equal(2, Directory.GetFiles(folder.Root).Length);
    }

    public static TheoryData<string, string[]> Refusals() => new()
    {
        { "no such file", ["--questions", "/no/such/file"] },
        { "no such folder", ["--images", "/no/such/folder"] },
        { "there is no picture 'shapes.png'", ["--images", Path.GetTempPath()] },
        { "cannot be written", ["--answers", "/no/such/folder/a.jsonl"] },
        { "chunk 2 of 2: chunks count from 0 to 1", ["--num-chunks", "2", "--chunk-idx", "2"] },
        { "0 chunks", ["--num-chunks", "0"] },
        { "--logprobs: answer files have no place for them", ["--logprobs", "2", "--json"] },
    };

    [Theory]
    [MemberData(nameof(Refusals))]
    public void WrongInputGetsOneLine(string message, string[] arguments)
    {
        using var folder = new TemporaryFolder();
        folder.Write("q.jsonl", QuestionLines);
        // An option that stands twice would be refused for that.
        string[] given = ["--questions", folder["q.jsonl"], "--images", CliTool.Samples, "--answers", folder["a.jsonl"]];
        string[] rest = [.. given.Chunk(2).Where(pair => !arguments.Contains(pair[0])).SelectMany(pair => pair)];
        CliTool.Run(["eval", "run", .. rest, .. arguments, "--device", "reference"]).IsRefusal(message);
    }

    [Fact]
    public void WrongScoresAndSubmissionsGetOneLine()
    {
        using var folder = new TemporaryFolder();
        string answers = folder.Answers((1, "Yes"));
        CliTool.Run("eval", "score", "chess", "--answers", answers, "--annotations", answers).IsRefusal("there is no scorer 'chess': choose one of pope");
        CliTool.Run("eval", "score", "gqa", "--answers", answers, "--annotations", "/no/such/file").IsRefusal("/no/such/file: no such file");
        CliTool.Run("eval", "submit", "chess", "--answers", answers, "--out", folder["s"]).IsRefusal("there is no submission 'chess'");
        CliTool.Run("eval", "submit", "mmvet", "--answers", answers, "--out", "/no/such/folder/s").IsRefusal("cannot be written");
        CliTool.Run("eval", "score").IsRefusal("try llava-sp eval score --help");
        string broken = folder.Write("b.jsonl", EvaluationFiles.Answer(1, "a") + "\n{\n");
        CliTool.Run("eval", "submit", "mmvet", "--answers", broken, "--out", folder["s"]).IsRefusal("b.jsonl line 2: is not valid JSON");
    }

    [Theory]
    [InlineData("run", "--chunk-idx")]
    [InlineData("score", "--annotations")]
    [InlineData("submit", "--out")]
    public void HelpNamesTheOptions(string command, string expected) =>
        Assert.Contains(expected, CliTool.Run("eval", command, "--help").Output, StringComparison.Ordinal);

    private static CliResult Run(TemporaryFolder folder, params string[] more)
    {
        if (!File.Exists(folder["q.jsonl"])) folder.Write("q.jsonl", QuestionLines);
        return CliTool.Run(Arguments(folder, "a.jsonl", more));
    }

    private static string[] Arguments(TemporaryFolder folder, string answers, params string[] more) =>
    [
        "eval", "run", "--questions", folder["q.jsonl"], "--images", CliTool.Samples, "--answers", folder[answers], "--device", "reference",
        "--max-new-tokens", "4", .. more,
    ];

    private static BenchmarkAnswer[] Answers(string path) => [.. AnswerFile.Read(path).Select(item => item.Answer)];
}
