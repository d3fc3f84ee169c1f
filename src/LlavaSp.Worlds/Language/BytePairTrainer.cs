namespace LlavaSp.Worlds.Language;

/// <summary>
/// Learns byte-pair merges from words. Letters, digits and signs never join, as if the words were split there; a leading space may join either.
/// </summary>
internal static class BytePairTrainer
{
    public const char Space = '\u2581';

    /// <summary>Merged pieces in the order learned, at most <paramref name="limit"/>; fewer where every word is one piece.</summary>
    public static List<string> Learn(IEnumerable<string> texts, int limit)
    {
        var counts = new SortedDictionary<string, int>(StringComparer.Ordinal);
        foreach (string text in texts)
        {
            foreach (string word in Split(text)) counts[word] = counts.GetValueOrDefault(word) + 1;
        }

        var words = counts.Select(pair => (Symbols: pair.Key.Select(c => c.ToString()).ToList(), pair.Value)).ToList();
        var pieces = new List<string>();
        var known = new HashSet<string>(StringComparer.Ordinal);
        while (pieces.Count < limit && BestPair(words) is var (left, right))
        {
            string piece = left + right;
            if (known.Add(piece)) pieces.Add(piece);
            foreach (var (symbols, _) in words) Join(symbols, left, right);
        }

        return pieces;
    }

    private static (string Left, string Right)? BestPair(List<(List<string> Symbols, int Count)> words)
    {
        var counts = new Dictionary<(string, string), long>();
        foreach (var (symbols, count) in words)
        {
            for (int i = 1; i < symbols.Count; i++)
            {
                var pair = (symbols[i - 1], symbols[i]);
                counts[pair] = counts.GetValueOrDefault(pair) + count;
            }
        }

        if (counts.Count == 0) return null;
        // Equal counts are decided by the letters: the order of a dictionary is no promise.
        return counts.OrderByDescending(item => item.Value)
            .ThenBy(item => item.Key.Item1, StringComparer.Ordinal).ThenBy(item => item.Key.Item2, StringComparer.Ordinal).First().Key;
    }

    private static void Join(List<string> symbols, string left, string right)
    {
        for (int i = 0; i + 1 < symbols.Count; i++)
        {
            if (symbols[i] != left || symbols[i + 1] != right) continue;
            symbols[i] = left + right;
            symbols.RemoveAt(i + 1);
        }
    }

    private static IEnumerable<string> Split(string text)
    {
        string marked = Space + text.Replace(' ', Space);
        int start = 0;
        for (int i = 1; i <= marked.Length; i++)
        {
            if (i < marked.Length && marked[i] != Space && ((char.IsAsciiLetter(marked[i]) && char.IsAsciiLetter(marked[i - 1])) || (marked[i - 1] == Space && i - 1 == start)))
                continue;
            // A line break has no piece: the bytes write it.
            if (!marked.AsSpan(start, i - start).Contains('\n')) yield return marked[start..i];
            start = i;
        }
    }
}
