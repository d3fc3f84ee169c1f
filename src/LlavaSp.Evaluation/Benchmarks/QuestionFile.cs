using LlavaSp.Checkpoints;
using LlavaSp.Text;

namespace LlavaSp.Evaluation.Benchmarks;

/// <summary>
/// Question files as upstream's scripts read them: LLaVA's, one JSON object with <c>question_id, image, text, category</c> in each line; MMBench's tsv file,
/// which holds its pictures; ScienceQA's list of conversations.
/// </summary>
public static class QuestionFile
{
    private const string LetterOnly = "Answer with the option's letter from the given choices directly.";
    private const int LongestReference = 20;

    /// <summary>Reads questions; LLaVA's line by line.</summary>
    /// <exception cref="BenchmarkException">It is none of these files, or damaged.</exception>
    public static IEnumerable<BenchmarkQuestion> Read(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return path.EndsWith(".tsv", StringComparison.OrdinalIgnoreCase) ? ReadMmBench(path)
            : path.EndsWith(".json", StringComparison.OrdinalIgnoreCase) && IsList(path) ? ReadConversations(path)
            : ReadLines(path);
    }

    private static IEnumerable<BenchmarkQuestion> ReadLines(string path) => BenchmarkFiles.ReadLines(path, BenchmarkJson.Default.QuestionLine).Select(item =>
        new BenchmarkQuestion(
            BenchmarkFiles.Required(item.Value.Id, "question_id", path, item.Line),
            item.Value.Image,
            BenchmarkFiles.Required(item.Value.Text, "text", path, item.Line),
            item.Value.Category));

    // model_vqa_mmbench with --single-pred-prompt.
    private static IEnumerable<BenchmarkQuestion> ReadMmBench(string path)
    {
        TsvTable table = TsvTable.Read(path);
        var pictures = new Dictionary<string, byte[]>();
        foreach (string[] row in table.Rows)
        {
            string index = table.Field(row, "index"), picture = table.Field(row, "image");
            // Newer releases have a picture once, and the index of its row in the others.
            if (picture.Length > LongestReference || !pictures.TryGetValue(picture, out byte[]? bytes)) bytes = Decode(picture, index, path);
            pictures[index] = bytes;
            string hint = table.Has("hint") ? table.Field(row, "hint") : "";
            string question = table.Field(row, "question");
            yield return new BenchmarkQuestion(
                new QuestionId(index, IsNumber: index.All(char.IsAsciiDigit)),
                null,
                (TsvTable.IsNone(hint) ? question : $"{hint}\n{question}")
                    + string.Concat(table.Options(row).Select(option => $"\n{option.Letter}. {option.Text}")))
            {
                ImageBytes = bytes,
                Instruction = $"\n{LetterOnly}",
            };
        }
    }

    // model_vqa_science with --single-pred-prompt.
    private static IEnumerable<BenchmarkQuestion> ReadConversations(string path)
    {
        foreach (Conversation item in BenchmarkFiles.ReadWhole(path, BenchmarkJson.Default.ListConversation))
        {
            if (item.Turns.Count == 0) throw new BenchmarkException($"{path}: question {Refusal.Quote(item.Id.Text)} has no conversation");
            string text = PythonText.Strip(item.Turns[0].Text.Replace(ImageToken.Placeholder, "", StringComparison.Ordinal));
            string front = item.Image is null ? "" : $"{ImageToken.Placeholder}\n";
            yield return new BenchmarkQuestion(item.Id, item.Image, $"{front}{text}\n{LetterOnly}");
        }
    }

    private static byte[] Decode(string base64, string index, string path)
    {
        try
        {
            return Convert.FromBase64String(base64);
        }
        catch (FormatException e)
        {
            throw new BenchmarkException($"{path}: the picture of question {Refusal.Quote(index)} is not base64: give the file as it was published", e);
        }
    }

    private static bool IsList(string path)
    {
        using FileStream stream = BenchmarkFiles.Open(path);
        int next;
        do next = stream.ReadByte();
        while (next is ' ' or '\t' or '\r' or '\n');
        return next == '[';
    }
}
