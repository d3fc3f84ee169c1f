using LlavaSp.Checkpoints;
using LlavaSp.Evaluation.Benchmarks;

namespace LlavaSp.Evaluation.Scoring;

/// <summary>
/// VizWiz: its own variant of VQAEval, which compares with people's answers as they are. Annotations are <c>val.json</c>, a list by picture; the question
/// file says which question has which picture.
/// </summary>
public static class VizWiz
{
    /// <summary>Scores answers.</summary>
    /// <exception cref="BenchmarkException">Files do not belong together.</exception>
    public static ScoreReport Score(ScoreInput input)
    {
        ArgumentNullException.ThrowIfNull(input);
        if (input.Questions is not { } questionFile)
            throw new BenchmarkException("vizwiz: give the question file with --questions: annotations name only pictures");
        var annotations = new Dictionary<string, VizWizAnnotation>();
        foreach (VizWizAnnotation annotation in BenchmarkFiles.ReadWhole(input.Annotations, AnnotationJson.Default.ListVizWizAnnotation))
        {
            if (!annotations.TryAdd(annotation.Image, annotation))
                throw new BenchmarkException($"{input.Annotations}: has the picture {Refusal.Quote(annotation.Image)} twice");
        }

        BenchmarkQuestion[] questions = [.. QuestionFile.Read(questionFile)];
        var answers = new AnswerSet(input.Answers);
        answers.RequireExactly([.. questions.Select(question => question.Id)], questionFile);
        var sums = new ScoreSums();
        foreach (BenchmarkQuestion question in questions)
        {
            if (question.Image is null || !annotations.TryGetValue(question.Image, out VizWizAnnotation? annotation))
            {
                throw new BenchmarkException(
                    $"{input.Annotations}: does not have {Refusal.Quote(question.Image ?? "")}, the picture of question {Refusal.Quote(question.Id.Text)}: "
                    + "give the files of one split");
            }

            sums.Add(
                VqaAccuracy.Of(VqaText.Answer(answers.TextOf(question.Id)!), [.. annotation.Answers.Select(answer => answer.Answer)]),
                $"answer type: {annotation.AnswerType}");
        }

        return sums.Report("vizwiz", input.Answers, Math.Max(0, annotations.Count - questions.Length));
    }
}
