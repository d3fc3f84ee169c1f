namespace LlavaSp.Evaluation.Scoring;

/// <summary>One number of a score.</summary>
/// <param name="Name">What it is, as the benchmark calls it.</param>
/// <param name="Value">The number; NaN where the rule divides by nothing.</param>
/// <param name="IsShare">Whether it is a share from 0 to 1, which people read in per cent; else points.</param>
public sealed record ScoreMetric(string Name, double Value, bool IsShare = true);

/// <summary>The score of some questions.</summary>
/// <param name="Name">What they have in common.</param>
/// <param name="Questions">How many they are.</param>
/// <param name="Metrics">The numbers.</param>
public sealed record ScoreGroup(string Name, int Questions, IReadOnlyList<ScoreMetric> Metrics);

/// <summary>The score of a benchmark.</summary>
/// <param name="Benchmark">Its name.</param>
/// <param name="Overall">All questions.</param>
/// <param name="Groups">Parts of them, as the benchmark divides them.</param>
/// <param name="Unanswered">Questions that have no answer; what the benchmark makes of them is in docs/evaluating.md.</param>
public sealed record ScoreReport(string Benchmark, ScoreGroup Overall, IReadOnlyList<ScoreGroup> Groups, int Unanswered = 0);

/// <summary>Sums points by group, groups in the order of their names.</summary>
internal sealed class ScoreSums
{
    private readonly SortedDictionary<string, (double Points, int Count)> _groups = new(StringComparer.Ordinal);
    private double _points;
    private int _count;

    /// <summary>Points of one question, from 0 to 1.</summary>
    public void Add(double points, params ReadOnlySpan<string> groups)
    {
        _points += points;
        _count++;
        foreach (string name in groups)
        {
            (double sum, int count) = _groups.GetValueOrDefault(name);
            _groups[name] = (sum + points, count + 1);
        }
    }

    /// <summary>The averages.</summary>
    /// <exception cref="BenchmarkException">There was no question.</exception>
    public ScoreReport Report(string benchmark, string answers, int unanswered = 0) => _count == 0
        ? throw new BenchmarkException($"{answers}: holds no answer to score")
        : new ScoreReport(
            benchmark, Group("all", _points, _count), [.. _groups.Select(group => Group(group.Key, group.Value.Points, group.Value.Count))], unanswered);

    private static ScoreGroup Group(string name, double points, int count) => new(name, count, [new ScoreMetric("accuracy", points / count)]);
}
