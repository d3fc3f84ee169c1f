using System.Text;

namespace LlavaSp.Text;

/// <summary>Text to ids: SentencePiece's normaliser without a character map, then byte-pair encoding.</summary>
internal sealed partial class SentencePieceModel
{
    private const char SurrogateFirst = '\uD800';
    private const char SurrogateLast = '\uDFFF';

    /// <summary>
    /// Ids of a text, as sentencepiece's Encode gives them: of all neighbours the pair that makes the piece with the best score
    /// is joined first, the leftmost one of equals. (Microsoft.ML.Tokenizers 2.0.1 joins the rightmost, so that runs of one
    /// character come out differently; that is why the encoder is our own.)
    /// </summary>
    /// <param name="text">Any text; half a surrogate pair counts as U+FFFD.</param>
    /// <param name="addDummyPrefix">Whether a space goes before a text that is not empty.</param>
    public List<int> Encode(string text, bool addDummyPrefix)
    {
        string normalized = Normalize(text, addDummyPrefix);
        var ids = new List<int>(normalized.Length / 2 + 4);
        if (normalized.Length == 0) return ids;
        Symbol[] symbols = Split(normalized, out int count);
        Merge(normalized, symbols, count);
        var lookup = _ids.GetAlternateLookup<ReadOnlySpan<char>>();
        bool afterUnknown = false;
        for (int i = 0; i >= 0; i = symbols[i].Next)
        {
            ReadOnlySpan<char> piece = normalized.AsSpan(symbols[i].Start, symbols[i].Length);
            bool known = lookup.TryGetValue(piece, out int id) && id != UnknownId;
            if (known) ids.Add(id);
            else if (_byteFallback) AddBytes(piece, ids);
            else if (!afterUnknown) ids.Add(UnknownId); // a run of unknown characters is one piece
            afterUnknown = !known;
        }
        return ids;
    }

    private string Normalize(string text, bool addDummyPrefix)
    {
        var result = new StringBuilder(text.Length + 1);
        if (text.AsSpan().IndexOfAnyInRange(SurrogateFirst, SurrogateLast) >= 0)
            foreach (Rune rune in text.EnumerateRunes()) result.Append(rune);
        else
            result.Append(text);
        if (RemoveExtraWhitespace) JoinSpaces(result);
        if (result.Length == 0) return "";
        if (addDummyPrefix) result.Insert(0, ' ');
        if (_escapeWhitespace) result.Replace(' ', Space);
        if (!RemoveExtraWhitespace) return result.ToString();
        return result.ToString().TrimEnd(_escapeWhitespace ? Space : ' ');
    }

    /// <summary>Drops leading spaces and all but the first of each run.</summary>
    private static void JoinSpaces(StringBuilder text)
    {
        string all = text.ToString();
        text.Clear();
        bool afterSpace = true;
        foreach (char c in all)
        {
            if (c != ' ' || !afterSpace) text.Append(c);
            afterSpace = c == ' ';
        }
    }

    /// <summary>One symbol for each code point, and for each user-defined piece, which is never joined to anything.</summary>
    private Symbol[] Split(string text, out int count)
    {
        var symbols = new Symbol[text.Length];
        count = 0;
        for (int at = 0; at < text.Length;)
        {
            int length = _userDefined.LongestMatch(text.AsSpan(at))?.Length ?? 0;
            bool frozen = length > 0;
            if (!frozen) length = char.IsHighSurrogate(text[at]) ? 2 : 1;
            symbols[count] = new Symbol { Prev = count - 1, Next = count + 1, Start = at, Length = length, Frozen = frozen };
            count++;
            at += length;
        }
        symbols[count - 1].Next = -1;
        return symbols;
    }

    private void Merge(string text, Symbol[] symbols, int count)
    {
        var lookup = _ids.GetAlternateLookup<ReadOnlySpan<char>>();
        var agenda = new PriorityQueue<(int Left, int Right, int Length), long>(count);
        for (int i = 1; i < count; i++) Propose(i - 1, i);
        while (agenda.TryDequeue(out var pair, out _))
        {
            ref Symbol left = ref symbols[pair.Left];
            ref Symbol right = ref symbols[pair.Right];
            // a pair of which one half has been joined to something else in the meantime
            if (left.Length == 0 || right.Length == 0 || left.Length + right.Length != pair.Length) continue;
            left.Length = pair.Length;
            left.Next = right.Next;
            if (right.Next >= 0) symbols[right.Next].Prev = pair.Left;
            right.Length = 0;
            Propose(left.Prev, pair.Left);
            Propose(pair.Left, left.Next);
        }

        void Propose(int left, int right)
        {
            if (left < 0 || right < 0 || symbols[left].Frozen || symbols[right].Frozen) return;
            int length = symbols[left].Length + symbols[right].Length;
            if (length > _longestPiece) return;
            if (!lookup.TryGetValue(text.AsSpan(symbols[left].Start, length), out int id)) return;
            if (_types[id] is PieceType.Normal or PieceType.UserDefined) agenda.Enqueue((left, right, length), Priority(_scores[id], left));
        }
    }

    /// <summary>Smaller is sooner: the higher score, then the position further left.</summary>
    private static long Priority(float score, int left)
    {
        int bits = BitConverter.SingleToInt32Bits(score + 0f); // -0 and 0 are one score
        long ordered = bits < 0 ? bits ^ int.MaxValue : bits;
        return (-ordered << 31) | (long)left;
    }

    private void AddBytes(ReadOnlySpan<char> piece, List<int> ids)
    {
        Span<byte> bytes = stackalloc byte[4];
        for (int at = 0; at < piece.Length;)
        {
            Rune.DecodeFromUtf16(piece[at..], out Rune rune, out int consumed);
            int written = rune.EncodeToUtf8(bytes);
            for (int i = 0; i < written; i++) ids.Add(_byteIds[bytes[i]]);
            at += consumed;
        }
    }

    /// <summary>A run of characters in a list of neighbours; a length of 0 means joined to the one before.</summary>
    private struct Symbol
    {
        public int Prev;
        public int Next;
        public int Start;
        public int Length;
        public bool Frozen;
    }
}
