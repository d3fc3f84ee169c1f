namespace LlavaSp.Text;

/// <summary>Python's idea of white space, which upstream's <c>strip()</c> uses: .NET's and U+001C to U+001F.</summary>
public static class PythonText
{
    /// <summary>Text without white space at both ends, as upstream's run_llava prints an answer.</summary>
    public static string Strip(string text) => StripEnd(StripStart(text));

    /// <summary>Text without white space at its beginning.</summary>
    public static string StripStart(string text)
    {
        int start = 0;
        while (start < text.Length && IsSpace(text[start])) start++;
        return text[start..];
    }

    /// <summary>Text without white space at its end.</summary>
    public static string StripEnd(string text)
    {
        int end = text.Length;
        while (end > 0 && IsSpace(text[end - 1])) end--;
        return text[..end];
    }

    /// <summary>The words between white space, as <c>split()</c> gives them.</summary>
    public static IReadOnlyList<string> Split(string text)
    {
        var words = new List<string>();
        int start = 0;
        for (int i = 0; i <= text.Length; i++)
        {
            if (i < text.Length && !IsSpace(text[i])) continue;
            if (i > start) words.Add(text[start..i]);
            start = i + 1;
        }

        return words;
    }

    private static bool IsSpace(char c) => char.IsWhiteSpace(c) || c is >= '\u001C' and <= '\u001F';
}
