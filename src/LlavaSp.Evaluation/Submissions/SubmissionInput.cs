namespace LlavaSp.Evaluation.Submissions;

/// <summary>What a server's file is made from.</summary>
/// <param name="Answers">Answer file.</param>
/// <param name="Questions">The benchmark's questions, whose order and number the server expects; MM-Vet needs none.</param>
public sealed record SubmissionInput(string Answers, string? Questions = null)
{
    /// <summary>The questions, where a benchmark needs them.</summary>
    /// <exception cref="BenchmarkException">They were not given.</exception>
    internal string RequiredQuestions(string benchmark, string what) =>
        Questions ?? throw new BenchmarkException($"{benchmark}: give {what} with --questions: the server wants its questions in their order");
}
