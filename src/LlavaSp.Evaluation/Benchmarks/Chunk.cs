namespace LlavaSp.Evaluation.Benchmarks;

/// <summary>The part of a benchmark that one of several processes answers, cut as upstream cuts it.</summary>
public static class Chunk
{
    /// <summary>
    /// Questions of a chunk. All chunks have ceil(questions / chunks) of them, so the last ones may have fewer or none: seven questions in five chunks
    /// are 2, 2, 2, 1 and 0.
    /// </summary>
    /// <param name="questions">All questions.</param>
    /// <param name="chunks">Number of chunks.</param>
    /// <param name="index">Which one, from 0.</param>
    /// <exception cref="BenchmarkException">There is no such chunk.</exception>
    public static Range Of(int questions, int chunks, int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(questions);
        if (chunks < 1) throw new BenchmarkException($"{chunks} chunks: give 1 or more");
        if (index < 0 || index >= chunks) throw new BenchmarkException($"chunk {index} of {chunks}: chunks count from 0 to {chunks - 1}");
        long size = (questions + (long)chunks - 1) / chunks;
        return (int)Math.Min(questions, index * size)..(int)Math.Min(questions, (index + 1) * size);
    }
}
