using LlavaSp.Evaluation.Benchmarks;

namespace LlavaSp.Evaluation.Scoring;

/// <summary>GQA: the accuracy of its eval.py, after upstream's conversion of answers. Annotations are <c>…_balanced_questions.json</c>.</summary>
public static class Gqa
{
    /// <summary>Scores answers. Only balanced questions count.</summary>
    /// <exception cref="BenchmarkException">Files do not belong together.</exception>
    public static ScoreReport Score(ScoreInput input)
    {
        ArgumentNullException.ThrowIfNull(input);
        Dictionary<string, GqaQuestion> questions = BenchmarkFiles.ReadWhole(input.Annotations, AnnotationJson.Default.DictionaryStringGqaQuestion);
        var answers = new AnswerSet(input.Answers);
        answers.RequireExactly([.. questions.Keys.Select(id => new QuestionId(id))], input.Annotations);
        var sums = new ScoreSums();
        foreach (var (id, question) in questions)
        {
            if (!question.IsBalanced) continue;
            sums.Add(
                Prediction(answers.TextOf(new QuestionId(id))!) == question.Answer ? 1 : 0,
                question.Types.Structural == "query" ? "open" : "binary", $"structural type: {question.Types.Structural}");
        }

        return sums.Report("gqa", input.Answers);
    }

    /// <summary>An answer as it is compared: without periods at its end, in lower case, else letter for letter.</summary>
    public static string Prediction(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return text.TrimEnd('.').ToLowerInvariant();
    }
}
