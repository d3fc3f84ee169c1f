namespace LlavaSp.Evaluation.Scoring;

/// <summary>The benchmarks that are scored here, by name.</summary>
public static class Scorers
{
    private static readonly (string Name, Func<ScoreInput, ScoreReport> Score)[] All =
    [
        ("pope", Pope.Score), ("vqav2", VqaV2.Score), ("textvqa", TextVqa.Score), ("vizwiz", VizWiz.Score), ("gqa", Gqa.Score),
        ("scienceqa", ScienceQa.Score), ("mme", Mme.Score), ("mmbench", MmBench.Score), ("seed", SeedBench.Score),
    ];

    /// <summary>Their names.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. All.Select(benchmark => benchmark.Name)];

    /// <summary>Scores answers by a benchmark's rules.</summary>
    /// <exception cref="BenchmarkException">There is no such benchmark, or its files do not belong together.</exception>
    public static ScoreReport Score(string name, ScoreInput input)
    {
        Func<ScoreInput, ScoreReport>? score = All.FirstOrDefault(benchmark => benchmark.Name == name).Score;
        return score is null ? throw new BenchmarkException($"there is no scorer '{name}': choose one of {string.Join(", ", Names)}") : score(input);
    }
}
