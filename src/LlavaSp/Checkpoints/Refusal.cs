using System.Globalization;
using System.Text;

namespace LlavaSp.Checkpoints;

/// <summary>
/// Makes the one-line messages of this folder; text that comes out of a file is escaped and shortened before it is shown.
/// </summary>
internal static class Refusal
{
    private const int LongestText = 200;

    /// <summary>"FILE: WHAT".</summary>
    public static CheckpointException Of(string path, string what) => new($"{OneLine(path)}: {what}");

    /// <summary>"FILE: WHAT", with the exception that caused it.</summary>
    public static CheckpointException Of(string path, string what, Exception cause) => new($"{OneLine(path)}: {what}", cause);

    /// <summary>A name out of a file, in single quotes, on one line, shortened.</summary>
    public static string Quote(string text) => $"'{(text.Length <= LongestText ? OneLine(text) : OneLine(text[..LongestText]) + "…")}'";

    /// <summary>The text with everything escaped that a terminal or a log would not show as one line.</summary>
    public static string OneLine(string text)
    {
        if (!text.Any(IsHidden)) return text;
        StringBuilder escaped = new();
        foreach (char c in text)
        {
            if (IsHidden(c)) escaped.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}");
            else escaped.Append(c);
        }
        return escaped.ToString();
    }

    private static bool IsHidden(char c) => char.GetUnicodeCategory(c)
        is UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator;
}
