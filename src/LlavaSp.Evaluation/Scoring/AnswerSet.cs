using LlavaSp.Checkpoints;
using LlavaSp.Evaluation.Benchmarks;

namespace LlavaSp.Evaluation.Scoring;

/// <summary>The answers of a file by the ids of their questions, for benchmarks whose ids are unique.</summary>
internal sealed class AnswerSet
{
    private readonly Dictionary<QuestionId, (BenchmarkAnswer Answer, int Line)> _answers = [];
    private readonly string _path;

    /// <summary>Reads a file.</summary>
    /// <exception cref="BenchmarkException">It cannot be read, or answers a question twice.</exception>
    public AnswerSet(string path)
    {
        _path = path;
        foreach (var item in AnswerFile.Read(path))
        {
            if (!_answers.TryAdd(item.Answer.Id, item))
            {
                throw new BenchmarkException(
                    $"{path} line {item.Line}: question {Refusal.Quote(item.Answer.Id.Text)} was answered in line {_answers[item.Answer.Id].Line} already: "
                    + "take one of the two out");
            }
        }
    }

    public int Count => _answers.Count;

    /// <summary>The text of an answer; null where there is none.</summary>
    public string? TextOf(QuestionId id) => _answers.TryGetValue(id, out var item) ? item.Answer.Text : null;

    /// <summary>The answers to all questions of a benchmark that scores nothing less.</summary>
    /// <exception cref="BenchmarkException">One is missing, or there are others.</exception>
    public void RequireExactly(IReadOnlyCollection<QuestionId> ids, string questions)
    {
        int missing = ids.Count(id => !_answers.ContainsKey(id));
        if (missing > 0)
        {
            QuestionId first = ids.First(id => !_answers.ContainsKey(id));
            throw new BenchmarkException(
                $"{_path}: has no answer to {missing} of the {ids.Count} questions of {questions} (the first is {Refusal.Quote(first.Text)}): "
                + "this benchmark scores all or nothing; finish it with eval run");
        }

        if (_answers.Count == ids.Count) return;
        HashSet<QuestionId> known = [.. ids];
        var other = _answers.Values.First(item => !known.Contains(item.Answer.Id));
        throw new BenchmarkException(
            $"{_path} line {other.Line}: question {Refusal.Quote(other.Answer.Id.Text)} is not in {questions}: give the files of one split");
    }
}
