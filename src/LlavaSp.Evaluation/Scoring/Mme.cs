using LlavaSp.Checkpoints;
using LlavaSp.Evaluation.Benchmarks;
using LlavaSp.Text;

namespace LlavaSp.Evaluation.Scoring;

/// <summary>
/// MME: its calculation.py, after upstream's convert_answer_to_mme.py. Annotations are the folder <c>MME_Benchmark_release_version</c>: a folder for each
/// subtask with a text file for each picture, whose lines are a question and its right answer. An answer's id is <c>SUBTASK/…/PICTURE</c>.
/// </summary>
public static class Mme
{
    private const string WordOrPhrase = "Answer the question using a single word or phrase.", YesOrNo = "Please answer yes or no.";
    private const int Prefix = 4;

    private static readonly string[] Perception =
        ["existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork", "OCR"];

    private static readonly string[] Cognition = ["commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning"];

    private enum Says
    {
        Other,
        Yes,
        No,
    }

    /// <summary>
    /// Scores answers. Of each subtask counts the share of questions that are right (accuracy) and of pictures whose two questions both are (accuracy+), in
    /// points of 100 each.
    /// </summary>
    /// <exception cref="BenchmarkException">Files do not belong together.</exception>
    public static ScoreReport Score(ScoreInput input)
    {
        ArgumentNullException.ThrowIfNull(input);
        var truths = new Dictionary<string, Dictionary<(string Picture, string Question), bool>>();
        var judged = new Dictionary<string, Dictionary<string, List<bool>>>();
        var answered = new HashSet<(string, string, string)>();
        foreach (var (answer, line) in AnswerFile.Read(input.Answers))
        {
            string where = $"{input.Answers} line {line}";
            (string task, string picture) = Parts(answer.Id.Text)
                ?? throw new BenchmarkException($"{where}: the id {Refusal.Quote(answer.Id.Text)} is not SUBTASK/PICTURE: give answers to LLaVA's llava_mme.jsonl");
            if (!truths.TryGetValue(task, out var truth)) truths.Add(task, truth = ReadTruth(input.Annotations, task, where));
            string question = Forms(answer.Prompt).FirstOrDefault(form => truth.ContainsKey((picture, form)))
                ?? throw new BenchmarkException($"{where}: {input.Annotations} has no such question in {task}/{picture}: give files of one release");
            if (!answered.Add((task, picture, question))) throw new BenchmarkException($"{where}: the question was answered before: take one of the two out");
            if (!judged.TryGetValue(task, out var pictures)) judged.Add(task, pictures = []);
            if (!pictures.TryGetValue(picture, out List<bool>? hits)) pictures.Add(picture, hits = []);
            hits.Add(Read(answer.Text) == (truth[(picture, question)] ? Says.Yes : Says.No));
        }

        return Report(input, judged, truths.Sum(task => task.Value.Count) - answered.Count);
    }

    /// <summary>Whether an answer says yes; null where it says neither. Only its first four letters count.</summary>
    public static bool? SaysYes(string text) => Read(text) switch
    {
        Says.Yes => true,
        Says.No => false,
        _ => null,
    };

    private static Says Read(string text)
    {
        string start = text.ToLowerInvariant();
        start = start[..Math.Min(Prefix, start.Length)];
        return start.Contains("yes", StringComparison.Ordinal) ? Says.Yes : start.Contains("no", StringComparison.Ordinal) ? Says.No : Says.Other;
    }

    private static ScoreReport Report(ScoreInput input, Dictionary<string, Dictionary<string, List<bool>>> judged, int unanswered)
    {
        if (judged.Count == 0) throw new BenchmarkException($"{input.Answers}: holds no answer to score");
        var groups = new List<ScoreGroup>();
        var totals = new List<ScoreMetric>();
        foreach (var (name, tasks) in ((string, string[])[])[("perception", Perception), ("cognition", Cognition)])
        {
            double total = 0;
            foreach (string task in tasks.Where(judged.ContainsKey))
            {
                foreach (var (picture, hits) in judged[task])
                {
                    if (hits.Count != 2)
                    {
                        throw new BenchmarkException(
                            $"{input.Answers}: has {hits.Count} answer(s) about {Refusal.Quote($"{task}/{picture}")}, and accuracy+ needs both: "
                            + "finish it with eval run");
                    }
                }

                bool[][] pairs = [.. judged[task].Values.Select(hits => hits.ToArray())];
                double accuracy = pairs.Sum(pair => pair.Count(hit => hit)) / (2.0 * pairs.Length);
                double plus = pairs.Count(pair => pair[0] && pair[1]) / (double)pairs.Length, score = 100 * (accuracy + plus);
                total += score;
                groups.Add(new ScoreGroup(
                    task, 2 * pairs.Length,
                    [new ScoreMetric("accuracy", accuracy), new ScoreMetric("accuracy+", plus), new ScoreMetric("score", score, IsShare: false)]));
            }

            totals.Add(new ScoreMetric(name, total, IsShare: false));
        }

        return new ScoreReport("mme", new ScoreGroup("all", groups.Sum(group => group.Questions), totals), groups, unanswered);
    }

    // "code_reasoning/0020.png", "artwork/images/10002.jpg": upstream takes the first and the last part, and the last up to its first period.
    private static (string Task, string Picture)? Parts(string id)
    {
        string[] parts = id.Split('/');
        return parts.Length > 1 && (Perception.Contains(parts[0]) || Cognition.Contains(parts[0])) ? (parts[0], parts[^1].Split('.')[0]) : null;
    }

    // The release has one blank or two in front of its own request for yes or no.
    private static IEnumerable<string> Forms(string prompt)
    {
        string question = prompt.Contains(WordOrPhrase, StringComparison.Ordinal)
            ? PythonText.Strip(prompt.Replace(WordOrPhrase, "", StringComparison.Ordinal))
            : prompt;
        return question.Contains(YesOrNo, StringComparison.Ordinal) ? [question] : [$"{question} {YesOrNo}", $"{question}  {YesOrNo}"];
    }

    private static Dictionary<(string Picture, string Question), bool> ReadTruth(string root, string task, string where)
    {
        string folder = Path.Combine(root, task), nested = Path.Combine(folder, "questions_answers_YN");
        if (Directory.Exists(Path.Combine(folder, "images"))) folder = nested;
        if (!Directory.Exists(folder)) throw new BenchmarkException($"{where}: {folder}: no such folder: give MME_Benchmark_release_version with --annotations");
        var truth = new Dictionary<(string Picture, string Question), bool>();
        foreach (string file in Directory.GetFiles(folder, "*.txt").Order(StringComparer.Ordinal))
        {
            using var reader = new StreamReader(BenchmarkFiles.Open(file));
            for (int number = 1; reader.ReadLine() is { } line; number++)
            {
                string[] parts = PythonText.Strip(line).Split('\t');
                truth[(Path.GetFileNameWithoutExtension(file), parts[0])] = parts.Length == 2 ? parts[1].ToLowerInvariant() switch
                {
                    "yes" => true,
                    "no" => false,
                    _ => throw Wrong(file, number),
                } : throw Wrong(file, number);
            }
        }

        return truth;
    }

    private static BenchmarkException Wrong(string file, int line) => new($"{file} line {line}: is not a question, a tab, and Yes or No: give MME's own files");
}
