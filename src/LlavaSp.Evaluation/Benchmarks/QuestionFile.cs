namespace LlavaSp.Evaluation.Benchmarks;

/// <summary>LLaVA's question files: one JSON object with <c>question_id, image, text, category</c> in each line.</summary>
public static class QuestionFile
{
    /// <summary>Reads questions, line by line.</summary>
    /// <exception cref="BenchmarkException">A line is not a question.</exception>
    public static IEnumerable<BenchmarkQuestion> Read(string path) => BenchmarkFiles.ReadLines(path, BenchmarkJson.Default.QuestionLine).Select(item =>
        new BenchmarkQuestion(
            BenchmarkFiles.Required(item.Value.Id, "question_id", path, item.Line),
            item.Value.Image,
            BenchmarkFiles.Required(item.Value.Text, "text", path, item.Line),
            item.Value.Category));
}
