namespace LlavaSp.Evaluation.Benchmarks;

/// <summary>One question of a benchmark.</summary>
/// <param name="Id">Its id; some benchmarks have several questions of one id.</param>
/// <param name="Image">File of the picture, relative to the picture folder; null where there is none.</param>
/// <param name="Text">The question.</param>
/// <param name="Category">The group that it belongs to, where the benchmark has groups.</param>
public sealed record BenchmarkQuestion(QuestionId Id, string? Image, string Text, string? Category = null)
{
    /// <summary>The picture itself, where the question file holds it.</summary>
    public byte[]? ImageBytes { get; init; }

    /// <summary>What is asked besides <see cref="Text"/>, and is no part of the prompt that goes into the answer file.</summary>
    public string Instruction { get; init; } = "";

    /// <summary>Whether there is a picture.</summary>
    public bool HasImage => Image is not null || ImageBytes is not null;
}

/// <summary>One answer of a model.</summary>
/// <param name="Id">The question's id.</param>
/// <param name="Prompt">The question's text.</param>
/// <param name="Text">What the model said.</param>
/// <param name="AnswerId">An id of its own.</param>
/// <param name="ModelId">Name of the model, as upstream derives it from the folder.</param>
public sealed record BenchmarkAnswer(QuestionId Id, string Prompt, string Text, string AnswerId, string ModelId);
