namespace LlavaSp.Worlds.Questions;

/// <summary>Says whether an answer is right, and how much of a caption is.</summary>
public static class Grader
{
    private const string And = " and ";

    /// <summary>The rule of GQA's score: letter for letter in lower case, without periods at the end or space around it.</summary>
    public static bool IsRight(Question question, string answer)
    {
        ArgumentNullException.ThrowIfNull(question);
        ArgumentNullException.ThrowIfNull(answer);
        return Normalized(answer) == Normalized(question.Answer);
    }

    /// <summary>
    /// The share of a caption's objects that are named in the right order: twice the longest common sequence over the lengths of both, so that neither
    /// leaving out nor adding objects helps.
    /// </summary>
    public static float CaptionShare(Question question, string answer)
    {
        ArgumentNullException.ThrowIfNull(question);
        ArgumentNullException.ThrowIfNull(answer);
        string[] truth = Objects(question.Answer), said = Objects(answer);
        var common = new int[truth.Length + 1, said.Length + 1];
        for (int i = 1; i <= truth.Length; i++)
        {
            for (int j = 1; j <= said.Length; j++)
            {
                common[i, j] = truth[i - 1] == said[j - 1]
                    ? common[i - 1, j - 1] + 1
                    : Math.Max(common[i - 1, j], common[i, j - 1]);
            }
        }

        return 2f * common[truth.Length, said.Length] / (truth.Length + said.Length);
    }

    // No colour or shape has a comma or "and" in it.
    private static string[] Objects(string caption) =>
        Normalized(caption).Replace(And, ", ", StringComparison.Ordinal).Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);

    private static string Normalized(string text) => text.Trim().TrimEnd('.').ToLowerInvariant();
}
