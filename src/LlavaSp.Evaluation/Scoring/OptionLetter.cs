using LlavaSp.Text;

namespace LlavaSp.Evaluation.Scoring;

/// <summary>
/// Which option a free answer means, by the rules with which MMBench's evaluation (OpenCompass, eval_mmbench.py) reads answers before it asks a language
/// model about the rest.
/// </summary>
public static class OptionLetter
{
    private const string Letters = "ABCDE";

    private static readonly (string Before, string After)[] Marks =
    [
        ("", "."), ("", ","), ("", ":"), ("", ")"), ("", ")."), ("(", ")"), ("(", ")."), (":", ""), (":", ","), (":", "."), (":", ")"), (":", ")."),
    ];

    /// <summary>
    /// The letter: one that stands as a word by itself, unless that may be the article A in a longer answer; else one in the first of several forms
    /// (<c>B.</c>, <c>(B)</c>, <c>:B</c>) that exactly one letter has; else the one option whose text the answer contains. Null where none is meant.
    /// </summary>
    /// <param name="answer">The answer.</param>
    /// <param name="options">Letters and texts of the question's options.</param>
    public static char? In(string answer, IReadOnlyList<(char Letter, string Text)> options)
    {
        ArgumentNullException.ThrowIfNull(answer);
        ArgumentNullException.ThrowIfNull(options);
        return Stated(PythonText.Split(answer)) ?? Contained(answer.ToLowerInvariant(), options);
    }

    private static char? Stated(IReadOnlyList<string> words)
    {
        bool mayBeArticle = words.Count > 3 && words.Contains("A");
        if (!mayBeArticle && Only(words, "", "") is { } alone) return alone;
        foreach (var (before, after) in Marks)
        {
            if (Only(words, before, after) is { } marked) return marked;
        }

        return null;
    }

    private static char? Only(IReadOnlyList<string> words, string before, string after)
    {
        char[] found = [.. Letters.Where(letter => words.Contains($"{before}{letter}{after}"))];
        return found is [char only] ? only : null;
    }

    private static char? Contained(string answer, IReadOnlyList<(char Letter, string Text)> options)
    {
        char[] found = [.. options.Where(option => answer.Contains(option.Text.ToLowerInvariant(), StringComparison.Ordinal)).Select(option => option.Letter)];
        return found is [char only] ? only : null;
    }
}
