using LlavaSp.Checkpoints;
using LlavaSp.Evaluation.Benchmarks;

namespace LlavaSp.Evaluation.Scoring;

/// <summary>
/// POPE, whether things are in the picture: upstream's eval_pope.py. Annotations are a folder of <c>coco_pope_CATEGORY.json</c>, whose lines belong in
/// their order to the question file's questions of that category; or one such file, whose questions carry their right answers and ids themselves.
/// </summary>
public static class Pope
{
    private const string Prefix = "coco_pope_", Suffix = ".json";

    /// <summary>Scores answers.</summary>
    /// <exception cref="BenchmarkException">Files do not belong together.</exception>
    public static ScoreReport Score(ScoreInput input)
    {
        ArgumentNullException.ThrowIfNull(input);
        List<(QuestionId Id, bool Yes, string Category)> truths = Directory.Exists(input.Annotations) ? FromFolder(input) : FromFile(input.Annotations);
        var answers = new AnswerSet(input.Answers);
        answers.RequireExactly([.. truths.Select(truth => truth.Id)], input.Questions ?? input.Annotations);
        if (truths.Count == 0) throw new BenchmarkException($"{input.Annotations}: holds no question to score");
        var judged = truths.Select(truth => (truth.Category, truth.Yes, Says: SaysYes(answers.TextOf(truth.Id)!))).ToList();
        return new ScoreReport(
            "pope",
            Count("all", judged.Select(item => (item.Yes, item.Says))),
            [.. judged.GroupBy(item => item.Category).OrderBy(group => group.Key, StringComparer.Ordinal)
                .Select(group => Count(group.Key, group.Select(item => (item.Yes, item.Says))))]);
    }

    /// <summary>
    /// What an answer says: no where one of the words before the first period is No, not or no, commas left out; else yes. So "NO" is yes, and so is
    /// "There isn't".
    /// </summary>
    public static bool SaysYes(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        int period = text.IndexOf('.', StringComparison.Ordinal);
        string sentence = (period < 0 ? text : text[..period]).Replace(",", "", StringComparison.Ordinal);
        return !sentence.Split(' ').Any(word => word is "No" or "not" or "no");
    }

    private static ScoreGroup Count(string name, IEnumerable<(bool Yes, bool Says)> judged)
    {
        int truePositive = 0, falsePositive = 0, trueNegative = 0, falseNegative = 0;
        foreach (var (yes, says) in judged)
        {
            if (yes && says) truePositive++;
            else if (says) falsePositive++;
            else if (yes) falseNegative++;
            else trueNegative++;
        }

        int all = truePositive + falsePositive + trueNegative + falseNegative;
        double precision = truePositive / (double)(truePositive + falsePositive), recall = truePositive / (double)(truePositive + falseNegative);
        return new ScoreGroup(name, all,
        [
            new ScoreMetric("accuracy", (truePositive + trueNegative) / (double)all),
            new ScoreMetric("precision", precision),
            new ScoreMetric("recall", recall),
            new ScoreMetric("F1", 2 * precision * recall / (precision + recall)),
            new ScoreMetric("yes ratio", (truePositive + falsePositive) / (double)all),
        ]);
    }

    private static List<(QuestionId Id, bool Yes, string Category)> FromFile(string path) =>
        [.. BenchmarkFiles.ReadLines(path, BenchmarkJson.Default.QuestionLine).Select(item => (
            BenchmarkFiles.Required(item.Value.Id, "question_id", path, item.Line), IsYes(item.Value, path, item.Line), item.Value.Category ?? CategoryOf(path)))];

    private static List<(QuestionId Id, bool Yes, string Category)> FromFolder(ScoreInput input)
    {
        if (input.Questions is not { } questionFile)
        {
            throw new BenchmarkException(
                $"{input.Annotations}: is a folder: give the question file with --questions, which says what belongs to which category");
        }

        ILookup<string?, BenchmarkQuestion> questions = QuestionFile.Read(questionFile).ToLookup(question => question.Category);
        string[] files = [.. Directory.GetFiles(input.Annotations, $"{Prefix}*{Suffix}").Order(StringComparer.Ordinal)];
        if (files.Length == 0) throw new BenchmarkException($"{input.Annotations}: holds no {Prefix}*{Suffix}: give POPE's folder output/coco");
        var truths = new List<(QuestionId Id, bool Yes, string Category)>();
        foreach (string file in files) truths.AddRange(Matched(file, [.. questions[CategoryOf(file)]], questionFile));
        string[] categories = [.. files.Select(CategoryOf)];
        if (questions.FirstOrDefault(group => !categories.Contains(group.Key)) is { } other)
        {
            throw new BenchmarkException(
                $"{questionFile}: has questions of the category {Refusal.Quote(other.Key ?? "")}, and {input.Annotations} no {Prefix}{other.Key}{Suffix}");
        }

        return truths;
    }

    // Upstream trusts the order blindly; a picture or question that differs shows files of different releases, which may differ in articles alone.
    private static IEnumerable<(QuestionId Id, bool Yes, string Category)> Matched(string file, IReadOnlyList<BenchmarkQuestion> questions, string questionFile)
    {
        int next = 0;
        foreach (var (label, line) in BenchmarkFiles.ReadLines(file, BenchmarkJson.Default.QuestionLine))
        {
            if (next == questions.Count)
            {
                throw new BenchmarkException(
                    $"{file} line {line}: {questionFile} has only {questions.Count} questions of this category: give files of one release");
            }

            BenchmarkQuestion question = questions[next++];
            if ((label.Image is not null && label.Image != question.Image)
                || (label.Text is not null && !VqaText.Words(question.Text).StartsWith(VqaText.Words(label.Text), StringComparison.Ordinal)))
            {
                throw new BenchmarkException(
                    $"{file} line {line}: is not the question {Refusal.Quote(question.Id.Text)} of {questionFile}, whose turn it is: give files of one release");
            }

            yield return (question.Id, IsYes(label, file, line), CategoryOf(file));
        }

        if (next < questions.Count)
            throw new BenchmarkException($"{file}: has {next} lines, and {questionFile} {questions.Count} questions of this category: give files of one release");
    }

    private static bool IsYes(QuestionLine line, string path, int number) => line.Label switch
    {
        "yes" => true,
        "no" => false,
        _ => throw new BenchmarkException($"{path} line {number}: 'label' must be yes or no"),
    };

    private static string CategoryOf(string path)
    {
        string name = Path.GetFileName(path);
        return name.StartsWith(Prefix, StringComparison.Ordinal) && name.EndsWith(Suffix, StringComparison.Ordinal)
            ? name[Prefix.Length..^Suffix.Length]
            : Path.GetFileNameWithoutExtension(name);
    }
}
