using System.Globalization;
using LlavaSp.Checkpoints;
using LlavaSp.Evaluation.Benchmarks;

namespace LlavaSp.Evaluation.Scoring;

/// <summary>
/// MMBench's development set: circular evaluation, as its eval_mmbench.py does it. Annotations are the tsv file with the column <c>answer</c>. Rows whose
/// index differs by millions are one question with its options in another order; it is right where every one of them is.
/// </summary>
public static class MmBench
{
    private const long RoundStep = 1_000_000;

    /// <summary>
    /// Scores answers; a row without one is wrong, and so is one whose option cannot be told (the server asks a language model about those).
    /// </summary>
    /// <exception cref="BenchmarkException">Files do not belong together.</exception>
    public static ScoreReport Score(ScoreInput input)
    {
        ArgumentNullException.ThrowIfNull(input);
        TsvTable table = TsvTable.Read(input.Annotations, "image");
        var answers = new AnswerSet(input.Answers);
        var rounds = new Dictionary<long, (bool Right, string[] Groups)>();
        int right = 0, unanswered = 0;
        foreach (string[] row in table.Rows)
        {
            string index = table.Field(row, "index");
            if (!long.TryParse(index, NumberStyles.None, CultureInfo.InvariantCulture, out long number))
                throw new BenchmarkException($"{table.Path}: the index {Refusal.Quote(index)} is not a number: give the benchmark's own tsv file");
            string? text = answers.TextOf(new QuestionId(index));
            if (text is null) unanswered++;
            string answer = table.Field(row, "answer");
            bool hit = text is not null && OptionLetter.In(text, table.Options(row)) is { } letter && answer == letter.ToString();
            if (hit) right++;
            long question = number % RoundStep;
            // The first round names the groups; it stands first in every release.
            if (rounds.TryGetValue(question, out var known)) rounds[question] = (known.Right && hit, known.Groups);
            else rounds.Add(question, (hit, GroupsOf(table, row)));
        }

        if (table.Rows.Count - unanswered < answers.Count)
            throw new BenchmarkException($"{input.Answers}: has answers to questions that are not in {input.Annotations}: give the files of one split");
        var sums = new ScoreSums();
        foreach (var (hit, groups) in rounds.Values) sums.Add(hit ? 1 : 0, groups);
        ScoreReport report = sums.Report("mmbench", input.Answers, unanswered);
        // Over single rows: what accuracy would be if the order of options did not count.
        ScoreMetric single = new("single rounds", right / (double)table.Rows.Count);
        return report with
        {
            Overall = report.Overall with
            {
                Metrics = [.. report.Overall.Metrics, single],
            },
        };
    }

    private static string[] GroupsOf(TsvTable table, string[] row) =>
        [.. ((string[])["l2-category", "category"]).Where(table.Has).Select(column => $"{column}: {table.Field(row, column)}")];
}
