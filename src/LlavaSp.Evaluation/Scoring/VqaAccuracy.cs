namespace LlavaSp.Evaluation.Scoring;

/// <summary>The accuracy of one answer against those of several people.</summary>
public static class VqaAccuracy
{
    private const int Enough = 3;

    /// <summary>
    /// An answer that three people gave is right, one that fewer gave is right in part. So that it compares with the accuracy of a person, each of them
    /// is left out once and the average counts.
    /// </summary>
    /// <param name="answer">The model's answer.</param>
    /// <param name="people">The people's answers, made alike as the benchmark does.</param>
    public static double Of(string answer, IReadOnlyCollection<string> people)
    {
        ArgumentNullException.ThrowIfNull(people);
        int same = people.Count(given => given == answer);
        double points = people.Sum(given => Math.Min(1, (given == answer ? same - 1 : same) / (double)Enough));
        return points / people.Count;
    }
}
