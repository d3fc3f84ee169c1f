using System.Text.Encodings.Web;
using System.Text.Json;
using System.Xml;
using LlavaSp.Checkpoints;
using LlavaSp.Evaluation.Benchmarks;
using LlavaSp.Evaluation.Scoring;
using SpreadCheetah;

namespace LlavaSp.Evaluation.Submissions;

/// <summary>Files as the evaluation servers take them, made as upstream's convert_…_for_submission.py make them.</summary>
public static class ServerFiles
{
    private static readonly (string Name, Func<SubmissionInput, Stream, CancellationToken, Task> Write)[] All =
        [("vqav2", VqaV2Async), ("vizwiz", VizWizAsync), ("mmbench", MmBenchAsync), ("mmvet", MmVetAsync)];

    // What upstream leaves out of MMBench's table, and the place of the column that it adds.
    private static readonly string[] LeftOut = ["hint", "category", "source", "image", "comment", "l2-category"];
    private const int PredictionColumn = 6;

    /// <summary>Benchmarks with a server.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. All.Select(server => server.Name)];

    /// <summary>Writes a server's file.</summary>
    /// <exception cref="BenchmarkException">There is no such server, or files do not belong together.</exception>
    public static Task WriteAsync(string name, SubmissionInput input, Stream output, CancellationToken cancellationToken)
    {
        Func<SubmissionInput, Stream, CancellationToken, Task>? write = All.FirstOrDefault(server => server.Name == name).Write;
        return write is null
            ? throw new BenchmarkException($"there is no submission '{name}': choose one of {string.Join(", ", Names)}")
            : write(input, output, cancellationToken);
    }

    // A question without an answer is sent as an empty one: the server wants all of them.
    private static Task VqaV2Async(SubmissionInput input, Stream output, CancellationToken cancellationToken)
    {
        var answers = new AnswerSet(input.Answers);
        string questions = input.RequiredQuestions("vqav2", "the question file of the split");
        return JsonAsync(output, json =>
        {
            json.WriteStartArray();
            foreach (BenchmarkQuestion question in QuestionFile.Read(questions))
            {
                json.WriteStartObject();
                json.WritePropertyName("question_id");
                question.Id.Write(json);
                json.WriteString("answer", answers.TextOf(question.Id) is { } text ? VqaText.EvalAi(text) : "");
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }, cancellationToken);
    }

    private static Task VizWizAsync(SubmissionInput input, Stream output, CancellationToken cancellationToken)
    {
        var answers = new AnswerSet(input.Answers);
        string path = input.RequiredQuestions("vizwiz", "the question file of the split");
        BenchmarkQuestion[] questions = [.. QuestionFile.Read(path)];
        answers.RequireExactly([.. questions.Select(question => question.Id)], path);
        return JsonAsync(output, json =>
        {
            json.WriteStartArray();
            foreach (BenchmarkQuestion question in questions)
            {
                json.WriteStartObject();
                json.WriteString("image", question.Image ?? throw new BenchmarkException($"{path}: question {Refusal.Quote(question.Id.Text)} has no picture"));
                json.WriteString("answer", VqaText.EvalAi(answers.TextOf(question.Id)!));
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }, cancellationToken);
    }

    private static Task MmVetAsync(SubmissionInput input, Stream output, CancellationToken cancellationToken) => JsonAsync(output, json =>
    {
        var known = new HashSet<QuestionId>();
        json.WriteStartObject();
        foreach (var (answer, line) in AnswerFile.Read(input.Answers))
        {
            if (!known.Add(answer.Id))
                throw new BenchmarkException($"{input.Answers} line {line}: question {Refusal.Quote(answer.Id.Text)} was answered before: take one of the two out");
            json.WriteString($"v1_{answer.Id.Text}", answer.Text);
        }

        json.WriteEndObject();
    }, cancellationToken);

    private static async Task MmBenchAsync(SubmissionInput input, Stream output, CancellationToken cancellationToken)
    {
        var answers = new AnswerSet(input.Answers);
        TsvTable table = TsvTable.Read(input.RequiredQuestions("mmbench", "the tsv file of the split"), LeftOut);
        string[] columns = [.. table.Columns.Where(column => !LeftOut.Contains(column))];
        int place = Math.Min(PredictionColumn, columns.Length);
        await using Spreadsheet sheet = await Spreadsheet.CreateNewAsync(output, cancellationToken: cancellationToken).ConfigureAwait(false);
        await sheet.StartWorksheetAsync("Sheet1", token: cancellationToken).ConfigureAwait(false);
        await sheet.AddRowAsync(Row(columns.Select(column => new Cell(column)), new Cell("prediction")), cancellationToken).ConfigureAwait(false);
        int found = 0;
        foreach (string[] row in table.Rows)
        {
            string? text = answers.TextOf(new QuestionId(table.Field(row, "index")));
            if (text is not null) found++;
            IEnumerable<Cell> cells = columns.Select(column => CellOf(table.Field(row, column), column));
            await sheet.AddRowAsync(Row(cells, text is null ? new Cell() : new Cell(InXml(text))), cancellationToken).ConfigureAwait(false);
        }

        if (found < answers.Count)
            throw new BenchmarkException($"{input.Answers}: has answers to questions that are not in {table.Path}: give the files of one split");
        await sheet.FinishAsync(cancellationToken).ConfigureAwait(false);

        List<Cell> Row(IEnumerable<Cell> cells, Cell prediction)
        {
            List<Cell> all = [.. cells];
            all.Insert(place, prediction);
            return all;
        }
    }

    private static Cell CellOf(string field, string column)
    {
        if (TsvTable.IsNone(field)) return new Cell();
        return column == "index" && long.TryParse(field, out long number) ? new Cell(number) : new Cell(InXml(field));
    }

    // A model may say any character, and a spreadsheet, which is XML, cannot hold all of them: those become the sign for an unknown one.
    private static string InXml(string text)
    {
        char[] result = text.ToCharArray();
        for (int i = 0; i < result.Length; i++)
        {
            if (XmlConvert.IsXmlChar(result[i])) continue;
            if (i + 1 < result.Length && XmlConvert.IsXmlSurrogatePair(result[i + 1], result[i])) i++;
            else result[i] = '\uFFFD';
        }

        return new string(result);
    }

    private static async Task JsonAsync(Stream output, Action<Utf8JsonWriter> write, CancellationToken cancellationToken)
    {
        await using var json = new Utf8JsonWriter(output, new JsonWriterOptions { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        write(json);
        await json.FlushAsync(cancellationToken).ConfigureAwait(false);
    }
}
