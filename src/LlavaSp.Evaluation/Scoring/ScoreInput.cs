namespace LlavaSp.Evaluation.Scoring;

/// <summary>What a score is made from.</summary>
/// <param name="Answers">Answer file.</param>
/// <param name="Annotations">The benchmark's own file or folder with the right answers.</param>
/// <param name="Questions">The question file, where answers can only be matched through it.</param>
/// <param name="Split">Which part of the benchmark, where its annotations hold several.</param>
public sealed record ScoreInput(string Answers, string Annotations, string? Questions = null, string Split = "test");
