using System.Text;

namespace LlavaSp.Text;

/// <summary>
/// Lets text through up to the first stop string and holds back what could be the beginning of one, however the text is cut into
/// pieces. The stop string that is complete first wins, the longest of those that end together. Not safe for several threads at once.
/// </summary>
public sealed class StopStringFilter
{
    private readonly (string Text, int[] Fallback)[] _stops;
    private readonly int[] _matched;
    private readonly StringBuilder _held = new();

    /// <summary>Sets up the filter; with no stop strings everything passes at once.</summary>
    /// <exception cref="LlavaSpException">A stop string is empty.</exception>
    public StopStringFilter(IEnumerable<string> stopStrings)
    {
        _stops = [.. stopStrings.Select(s => (s, Fallbacks(s)))];
        _matched = new int[_stops.Length];
    }

    /// <summary>The stop string that was found; null as long as there is none.</summary>
    public string? Found { get; private set; }

    /// <summary>Takes the next piece of text and gives what certainly comes before any stop string; empty once one was found.</summary>
    public string Append(string piece)
    {
        if (Found is not null) return "";
        foreach (char c in piece)
        {
            _held.Append(c);
            Advance(c);
            if (Found is null) continue;
            _held.Length -= Found.Length;
            return Take(_held.Length);
        }
        int keep = _matched.Length == 0 ? 0 : _matched.Max();
        return Take(_held.Length - keep);
    }

    /// <summary>Ends the text: gives what was held back.</summary>
    public string Flush() => Take(_held.Length);

    /// <summary>One step of Knuth, Morris and Pratt's search for each stop string.</summary>
    private void Advance(char c)
    {
        for (int i = 0; i < _stops.Length; i++)
        {
            (string text, int[] fallback) = _stops[i];
            int length = _matched[i];
            while (length > 0 && text[length] != c) length = fallback[length - 1];
            if (text[length] == c) length++;
            _matched[i] = length;
            if (length == text.Length && length > (Found?.Length ?? 0)) Found = text;
        }
    }

    /// <summary>For each beginning of a text, the length of its longest end that is also a shorter beginning.</summary>
    private static int[] Fallbacks(string text)
    {
        if (string.IsNullOrEmpty(text)) throw new LlavaSpException("a stop string is empty: leave it out or give it a character");
        var fallback = new int[text.Length];
        for (int i = 1, length = 0; i < text.Length; i++)
        {
            while (length > 0 && text[length] != text[i]) length = fallback[length - 1];
            if (text[length] == text[i]) length++;
            fallback[i] = length;
        }
        return fallback;
    }

    private string Take(int length)
    {
        string text = _held.ToString(0, length);
        _held.Remove(0, length);
        return text;
    }
}
