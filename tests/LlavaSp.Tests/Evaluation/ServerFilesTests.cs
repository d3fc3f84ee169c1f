using System.IO.Compression;
using System.Text.Json;
using System.Xml.Linq;
using LlavaSp.Evaluation;
using LlavaSp.Evaluation.Submissions;
using LlavaSp.Tests.Checkpoints;

namespace LlavaSp.Tests.Evaluation;

/// <summary>Files for evaluation servers, as upstream's scripts make them.</summary>
public sealed class ServerFilesTests
{
    [Fact]
    public async Task VqaV2HasEveryQuestion()
    {
        using var folder = new TemporaryFolder();
        string questions = folder.Write("q.jsonl", EvaluationFiles.Lines(
            """{"question_id": 3, "image": "a.jpg", "text": "?"}""", """{"question_id": 1, "image": "a.jpg", "text": "?"}""", """{"question_id": 2, "image": "a.jpg", "text": "?"}"""));
        using JsonDocument json = await Json("vqav2", folder.Answers((1, "The Two dogs."), (3, "It's red!")), questions);
        Assert.Equal(
            ["3 it 's red", "1 2 dogs", "2 "],
            json.RootElement.EnumerateArray().Select(item => $"{item.GetProperty("question_id").GetInt32()} {item.GetProperty("answer").GetString()}"));
    }

    [Fact]
    public async Task VizWizNamesPictures()
    {
        using var folder = new TemporaryFolder();
        string questions = folder.Write("q.jsonl", EvaluationFiles.Lines(
            """{"question_id": "x", "image": "b.jpg", "text": "?"}""", """{"question_id": "y", "image": "a.jpg", "text": "?"}"""));
        using JsonDocument json = await Json("vizwiz", folder.Answers(("y", "A Soup"), ("x", "None")), questions);
        Assert.Equal(
            ["b.jpg 0", "a.jpg soup"],
            json.RootElement.EnumerateArray().Select(item => $"{item.GetProperty("image").GetString()} {item.GetProperty("answer").GetString()}"));
        await Refuses("vizwiz", folder.Answers(("y", "A Soup")), questions, "no answer to 1 of the 2");
        await Refuses("vizwiz", folder["answers.jsonl"], null, "--questions");
    }

    [Fact]
    public async Task MmVetKeepsTextsAsTheyAre()
    {
        using var folder = new TemporaryFolder();
        using JsonDocument json = await Json("mmvet", folder.Answers((0, "The Two\ndogs."), ("7", "é")), null);
        Assert.Equal(["v1_0=The Two\ndogs.", "v1_7=é"], json.RootElement.EnumerateObject().Select(field => $"{field.Name}={field.Value.GetString()}"));
        await Refuses("mmvet", folder.Answers((0, "a"), ("0", "b")), null, "line 2: question '0' was answered before");
    }

    [Fact]
    public async Task MmBenchIsASpreadsheet()
    {
        using var folder = new TemporaryFolder();
        string table = folder.Write("dev.tsv", EvaluationFiles.Lines(
            "index\tquestion\thint\tA\tB\tC\tD\tanswer\tcategory\timage\tsource\tl2-category\tcomment\tsplit",
            "241\twhat <is>?\thint\tcat\tdog\tnan\t\tA\tocr\tAAAA\ts\tfine\tnan\tdev",
            "1000241\twhat <is>?\thint\tdog\tcat\t\t\tB\tocr\tAAAA\ts\tfine\tnan\tdev"));
        using var output = new MemoryStream();
        await ServerFiles.WriteAsync("mmbench", new SubmissionInput(folder.Answers((241, "A")), table), output, TestContext.Current.CancellationToken);
        Assert.Equal(
            ["index|question|A|B|C|D|prediction|answer|split", "241|what <is>?|cat|dog|||A|A|dev", "1000241|what <is>?|dog|cat||||B|dev"], Rows(output));
        // Not every character that a model says can stand in XML.
        using var odd = new MemoryStream();
        await ServerFiles.WriteAsync("mmbench", new SubmissionInput(folder.Answers((241, "A\0<\u0001\uFFFF😀")), table), odd, TestContext.Current.CancellationToken);
        Assert.Contains("241|what <is>?|cat|dog|||A\uFFFD<\uFFFD\uFFFD😀|A|dev", Rows(odd));
        await Refuses("mmbench", folder.Answers((5, "A")), table, "not in");
        await Refuses("pope", folder["answers.jsonl"], table, "choose one of vqav2, vizwiz, mmbench, mmvet");
    }

    // Cells of the only sheet, inline or shared, an index among the numbers.
    private static IEnumerable<string> Rows(Stream xlsx)
    {
        using var archive = new ZipArchive(xlsx, ZipArchiveMode.Read, leaveOpen: true);
        using Stream sheet = archive.GetEntry("xl/worksheets/sheet1.xml")!.Open();
        XDocument document = XDocument.Load(sheet);
        XNamespace names = document.Root!.Name.Namespace;
        return [.. document.Descendants(names + "row").Select(row => string.Join('|', row.Elements(names + "c").Select(cell => cell.Value)))];
    }

    private static async Task<JsonDocument> Json(string name, string answers, string? questions)
    {
        using var output = new MemoryStream();
        await ServerFiles.WriteAsync(name, new SubmissionInput(answers, questions), output, TestContext.Current.CancellationToken);
        return JsonDocument.Parse(output.ToArray());
    }

    private static async Task Refuses(string name, string answers, string? questions, string expected)
    {
        BenchmarkException refusal = await Assert.ThrowsAsync<BenchmarkException>(
            () => ServerFiles.WriteAsync(name, new SubmissionInput(answers, questions), Stream.Null, TestContext.Current.CancellationToken));
        Assert.Contains(expected, refusal.Message, StringComparison.Ordinal);
    }
}
