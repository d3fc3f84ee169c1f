using System.Text.RegularExpressions;
using LlavaSp.Checkpoints;
using LlavaSp.Evaluation.Benchmarks;

namespace LlavaSp.Evaluation.Scoring;

/// <summary>ScienceQA: upstream's eval_science_qa.py. Annotations are the folder with <c>problems.json</c> and <c>pid_splits.json</c>.</summary>
public static partial class ScienceQa
{
    private const string Letters = "ABCDE";

    /// <summary>Scores answers; a problem without one is wrong.</summary>
    /// <exception cref="BenchmarkException">Files do not belong together.</exception>
    public static ScoreReport Score(ScoreInput input)
    {
        ArgumentNullException.ThrowIfNull(input);
        string splitFile = Path.Combine(input.Annotations, "pid_splits.json"), problemFile = Path.Combine(input.Annotations, "problems.json");
        Dictionary<string, List<string>> splits = BenchmarkFiles.ReadWhole(splitFile, AnnotationJson.Default.DictionaryStringListString);
        if (!splits.TryGetValue(input.Split, out List<string>? ids))
        {
            throw new BenchmarkException(
                $"{splitFile}: has no split {Refusal.Quote(input.Split)}: choose one of {string.Join(", ", splits.Keys.Select(Refusal.Quote))}");
        }

        Dictionary<string, ScienceQaProblem> problems = BenchmarkFiles.ReadWhole(problemFile, AnnotationJson.Default.DictionaryStringScienceQaProblem);
        var answers = new AnswerSet(input.Answers);
        var sums = new ScoreSums();
        int answered = 0;
        foreach (string id in ids)
        {
            if (!problems.TryGetValue(id, out ScienceQaProblem? problem))
                throw new BenchmarkException($"{problemFile}: lacks the problem {Refusal.Quote(id)} of {splitFile}");
            string? text = answers.TextOf(new QuestionId(id));
            if (text is not null) answered++;
            bool right = text is not null && OptionIn(text, problem.Choices.Count) == problem.Answer;
            sums.Add(right ? 1 : 0, problem.Image is null ? "without picture" : "with picture", $"subject: {problem.Subject ?? "none"}");
        }

        if (answered < answers.Count)
        {
            throw new BenchmarkException(
                $"{input.Answers}: answers {answers.Count - answered} problems that are not in the split {Refusal.Quote(input.Split)}: give the right --split");
        }

        return sums.Report("scienceqa", input.Answers, ids.Count - answered);
    }

    /// <summary>
    /// The option that an answer chooses, from 0; -1 where it chooses none that the problem has. An answer is the letter alone, or begins with the letter, a
    /// period and a blank, or has "The answer is X" exactly once, with one more character behind it.
    /// </summary>
    public static int OptionIn(string text, int choices)
    {
        ArgumentNullException.ThrowIfNull(text);
        char letter = '\0';
        if (text.Length == 1 || (text.Length >= 3 && Letters.Contains(text[0], StringComparison.Ordinal) && text[1] == '.' && text[2] == ' '))
        {
            letter = text[0];
        }
        else if (Stated().Matches(text) is [{ } only])
        {
            letter = only.Groups[1].Value[0];
        }

        int option = Letters.IndexOf(letter, StringComparison.Ordinal);
        return option < choices ? option : -1;
    }

    [GeneratedRegex("The answer is ([A-Z]).", RegexOptions.CultureInvariant)]
    private static partial Regex Stated();
}
