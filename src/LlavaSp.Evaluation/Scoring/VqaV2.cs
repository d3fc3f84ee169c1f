using LlavaSp.Evaluation.Benchmarks;

namespace LlavaSp.Evaluation.Scoring;

/// <summary>VQAv2: VQAEval's rules (github.com/GT-Vision-Lab/VQA). Annotations are <c>v2_mscoco_…_annotations.json</c>.</summary>
public static class VqaV2
{
    /// <summary>Scores answers.</summary>
    /// <exception cref="BenchmarkException">Files do not belong together.</exception>
    public static ScoreReport Score(ScoreInput input)
    {
        ArgumentNullException.ThrowIfNull(input);
        IReadOnlyList<VqaV2Annotation> annotations = BenchmarkFiles.ReadWhole(input.Annotations, AnnotationJson.Default.VqaV2Annotations).Annotations;
        var answers = new AnswerSet(input.Answers);
        answers.RequireExactly([.. annotations.Select(annotation => annotation.Id)], input.Annotations);
        var sums = new ScoreSums();
        foreach (VqaV2Annotation annotation in annotations)
        {
            sums.Add(
                Accuracy(answers.TextOf(annotation.Id)!, [.. annotation.Answers.Select(answer => answer.Answer)]),
                $"answer type: {annotation.AnswerType}", $"question type: {annotation.QuestionType}");
        }

        return sums.Report("vqav2", input.Answers);
    }

    /// <summary>
    /// The accuracy of one answer. People's answers lose their punctuation only where they differ from each other, and articles and number words never: of
    /// ten people who all said "a dog", none agrees with a model that said so too.
    /// </summary>
    public static double Accuracy(string answer, IReadOnlyList<string> people)
    {
        ArgumentNullException.ThrowIfNull(people);
        bool differ = people.Distinct().Skip(1).Any();
        return VqaAccuracy.Of(VqaText.Answer(answer), differ ? [.. people.Select(VqaText.Punctuation)] : people);
    }
}
