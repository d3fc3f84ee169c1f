using LlavaSp.Checkpoints;
using LlavaSp.Evaluation.Benchmarks;

namespace LlavaSp.Evaluation.Scoring;

/// <summary>SEED-Bench: upstream's convert_seed_for_submission.py. Annotations are <c>SEED-Bench.json</c>.</summary>
public static class SeedBench
{
    /// <summary>Scores answers: the letter and nothing else is right. A question without an answer is wrong.</summary>
    /// <exception cref="BenchmarkException">Files do not belong together.</exception>
    public static ScoreReport Score(ScoreInput input)
    {
        ArgumentNullException.ThrowIfNull(input);
        SeedAnnotations annotations = BenchmarkFiles.ReadWhole(input.Annotations, AnnotationJson.Default.SeedAnnotations);
        Dictionary<int, string> types = annotations.QuestionTypes.DistinctBy(type => type.Value).ToDictionary(type => type.Value, type => type.Key);
        var answers = new AnswerSet(input.Answers);
        var sums = new ScoreSums();
        int unanswered = 0;
        foreach (SeedQuestion question in annotations.Questions)
        {
            if (!types.TryGetValue(question.Type, out string? type))
                throw new BenchmarkException($"{input.Annotations}: question {Refusal.Quote(question.Id.Text)} is of the unknown type {question.Type}");
            string? text = answers.TextOf(question.Id);
            if (text is null) unanswered++;
            sums.Add(text == question.Answer ? 1 : 0, [$"question type: {type}", .. question.DataType is { } data ? [$"data: {data}"] : Array.Empty<string>()]);
        }

        if (annotations.Questions.Count - unanswered < answers.Count)
            throw new BenchmarkException($"{input.Answers}: has answers to questions that are not in {input.Annotations}: give the files of one release");
        return sums.Report("seed", input.Answers, unanswered);
    }
}
