namespace LlavaSp.Text;

/// <summary>A small set of strings that answers which of them, the longest, a text begins with.</summary>
internal sealed class PrefixSet
{
    private readonly Dictionary<char, List<string>> _byFirst = [];

    /// <summary>Sets up the set; empty strings are left out.</summary>
    public PrefixSet(IEnumerable<string> words)
    {
        foreach (string word in words)
        {
            if (word.Length == 0) continue;
            if (!_byFirst.TryGetValue(word[0], out List<string>? list)) _byFirst.Add(word[0], list = []);
            list.Add(word);
        }
        foreach (List<string> list in _byFirst.Values) list.Sort((a, b) => b.Length.CompareTo(a.Length));
    }

    /// <summary>The longest string of the set that the text begins with; null for none.</summary>
    public string? LongestMatch(ReadOnlySpan<char> text)
    {
        if (text.IsEmpty || !_byFirst.TryGetValue(text[0], out List<string>? list)) return null;
        foreach (string word in list)
            if (text.StartsWith(word, StringComparison.Ordinal)) return word;
        return null;
    }
}
