using LlavaSp.Checkpoints;
using LlavaSp.Evaluation.Benchmarks;

namespace LlavaSp.Evaluation.Scoring;

/// <summary>
/// TextVQA: upstream's eval_textvqa.py. Annotations are <c>TextVQA_0.5.1_val.json</c>; an answer's id is the picture's, and its prompt, with or without the
/// tokens that an OCR system read, holds the question.
/// </summary>
public static class TextVqa
{
    private const int People = 10;
    private const string OcrTokens = "OCR tokens: ", Question = "Question: ", ShortAnswer = " Short answer:";
    private const string ReferenceToken = "Reference OCR token: ";

    /// <summary>Scores answers; as upstream does, only the questions that are answered.</summary>
    /// <exception cref="BenchmarkException">Files do not belong together.</exception>
    public static ScoreReport Score(ScoreInput input)
    {
        ArgumentNullException.ThrowIfNull(input);
        var annotations = new Dictionary<(QuestionId, string), TextVqaAnnotation>();
        foreach (TextVqaAnnotation annotation in BenchmarkFiles.ReadWhole(input.Annotations, AnnotationJson.Default.TextVqaAnnotations).Data)
            annotations[(annotation.ImageId, annotation.Question.ToLowerInvariant())] = annotation;
        var sums = new ScoreSums();
        var answered = new HashSet<(QuestionId, string)>();
        foreach (var (answer, line) in AnswerFile.Read(input.Answers))
        {
            string where = $"{input.Answers} line {line}";
            string question = QuestionIn(answer.Prompt)
                ?? throw new BenchmarkException($"{where}: its prompt has none of the forms of LLaVA's TextVQA question files: give answers to one of those");
            if (!annotations.TryGetValue((answer.Id, question), out TextVqaAnnotation? annotation))
            {
                throw new BenchmarkException(
                    $"{where}: {input.Annotations} has no question {Refusal.Quote(question)} about the picture {Refusal.Quote(answer.Id.Text)}: "
                    + "give the files of one split");
            }

            if (annotation.Answers.Count != People)
                throw new BenchmarkException($"{input.Annotations}: the picture {Refusal.Quote(answer.Id.Text)} has {annotation.Answers.Count} answers, not {People}");
            if (!answered.Add((answer.Id, question))) throw new BenchmarkException($"{where}: the question was answered before: take one of the two out");
            sums.Add(Accuracy(answer.Text, annotation.Answers));
        }

        return sums.Report("textvqa", input.Answers, annotations.Count - answered.Count);
    }

    /// <summary>The accuracy of one answer; both sides are made alike.</summary>
    public static double Accuracy(string answer, IReadOnlyList<string> people) => VqaAccuracy.Of(VqaText.EvalAi(answer), [.. people.Select(VqaText.EvalAi)]);

    /// <summary>The question in a prompt, in lower case; null where the prompt has none of the known forms.</summary>
    public static string? QuestionIn(string prompt)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        string[] lines = prompt.Split('\n');
        string? question = null;
        if (prompt.StartsWith(OcrTokens, StringComparison.Ordinal))
        {
            int start = prompt.IndexOf(Question, StringComparison.Ordinal);
            int end = start < 0 ? -1 : prompt.IndexOf(ShortAnswer, start + Question.Length, StringComparison.Ordinal);
            if (end >= 0) question = prompt[(start + Question.Length)..end];
        }
        else if (prompt.Contains(ReferenceToken, StringComparison.Ordinal) && lines.Length == 3)
        {
            // The line of tokens stands before the question in one form, after it in the other.
            question = prompt.StartsWith(ReferenceToken.TrimEnd(), StringComparison.Ordinal) ? lines[1] : lines[0];
        }
        else if (lines.Length == 2)
        {
            question = lines[0];
        }

        return question?.ToLowerInvariant();
    }
}
