namespace LlavaSp.Evaluation.Benchmarks;

/// <summary>Lines of a file as bytes, one at a time, so that files of any length take the memory of their longest line.</summary>
internal sealed class LineReader(Stream stream, string path)
{
    /// <summary>Beyond this a file is not made of lines.</summary>
    public const int LongestLine = 64 << 20;

    private static ReadOnlySpan<byte> ByteOrderMark => [0xEF, 0xBB, 0xBF];

    private byte[] _buffer = new byte[1 << 16];
    private int _next, _filled;
    private bool _drained;

    /// <summary>Number of the current line, from 1.</summary>
    public int Number { get; private set; }

    /// <summary>Where the current line begins in the file.</summary>
    public long Offset { get; private set; }

    /// <summary>The current line without its end; valid until the next call of <see cref="Read"/>.</summary>
    public ReadOnlyMemory<byte> Line { get; private set; }

    /// <summary>Whether the current line has its line break; the last one may lack it.</summary>
    public bool IsWhole { get; private set; }

    /// <summary>Goes to the next line.</summary>
    /// <returns>Whether there is one.</returns>
    /// <exception cref="BenchmarkException">It is longer than any line of such a file.</exception>
    public bool Read()
    {
        if (Number > 0) Offset += Line.Length + (IsWhole ? 1 : 0);
        int searched = 0;
        while (true)
        {
            int end = _buffer.AsSpan(_next + searched, _filled - _next - searched).IndexOf((byte)'\n');
            if (end >= 0) return Take(searched + end, isWhole: true);
            searched = _filled - _next;
            if (_drained) return searched > 0 && Take(searched, isWhole: false);
            if (searched > LongestLine)
                throw new BenchmarkException($"{path} line {Number + 1}: longer than {LongestLine >> 20} MiB: give a file with one JSON object in each line");
            Fill();
        }
    }

    /// <summary>The line's JSON: without a byte order mark, empty for a line of white space.</summary>
    public ReadOnlyMemory<byte> Json
    {
        get
        {
            int start = Offset == 0 && Line.Span.StartsWith(ByteOrderMark) ? ByteOrderMark.Length : 0;
            ReadOnlyMemory<byte> rest = Line[start..];
            return rest.Span.Trim(" \t\r"u8).IsEmpty ? default : rest;
        }
    }

    private bool Take(int length, bool isWhole)
    {
        Number++;
        Line = _buffer.AsMemory(_next, length);
        IsWhole = isWhole;
        _next += length + (isWhole ? 1 : 0);
        return true;
    }

    private void Fill()
    {
        if (_next > 0)
        {
            _buffer.AsSpan(_next, _filled - _next).CopyTo(_buffer);
            _filled -= _next;
            _next = 0;
        }

        if (_filled == _buffer.Length) Array.Resize(ref _buffer, _buffer.Length * 2);
        int read = stream.Read(_buffer, _filled, _buffer.Length - _filled);
        _filled += read;
        _drained = read == 0;
    }
}
