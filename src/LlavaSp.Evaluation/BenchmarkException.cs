namespace LlavaSp.Evaluation;

/// <summary>A question, answer or annotation file that is damaged, or does not belong to the others.</summary>
public sealed class BenchmarkException : LlavaSpException
{
    /// <inheritdoc/>
    public BenchmarkException(string message) : base(message) { }

    /// <inheritdoc/>
    public BenchmarkException(string message, Exception innerException) : base(message, innerException) { }
}
