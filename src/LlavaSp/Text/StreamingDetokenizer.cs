using System.Text;

namespace LlavaSp.Text;

/// <summary>
/// Token ids to text while they come: each call gives the text that is certain, never half a character and never a replacement
/// character that a later byte would have completed. All that it gives, joined, is what <see cref="LlavaTokenizer.Decode"/> gives for
/// the whole list without special tokens. Not safe for use by several threads at once.
/// </summary>
public sealed class StreamingDetokenizer
{
    private readonly LlavaTokenizer _tokenizer;
    private readonly StringBuilder _text = new();
    private PieceDecoder? _group;
    private bool _groupHasText;
    private bool _afterPart;

    /// <summary>Starts an empty text.</summary>
    public StreamingDetokenizer(LlavaTokenizer tokenizer)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        _tokenizer = tokenizer;
    }

    /// <summary>Takes the next id and gives the text that it makes certain; often empty.</summary>
    /// <exception cref="PromptException">The id is not in the vocabulary.</exception>
    public string Append(int id)
    {
        if (_tokenizer.SpecialIds.Contains(id)) return "";
        string token = _tokenizer.TokenText(id);
        if (_tokenizer.StandsAlone(token))
        {
            EndGroup();
            Separate();
            _text.Append(token);
            _afterPart = true;
            return Take();
        }
        if (_group is null)
        {
            _group = new PieceDecoder(_tokenizer.Model, _tokenizer.DummyPrefix);
            _groupHasText = false;
            token = LlavaTokenizer.WithoutFirstSpace(token);
        }
        var text = new StringBuilder();
        _group.Append(token, text);
        AddToGroup(text);
        return Take();
    }

    /// <summary>Ends the text: bytes that wait for others come out as U+FFFD. The next <see cref="Append"/> starts a new text.</summary>
    public string Flush()
    {
        bool open = _group is not null;
        EndGroup();
        if (open && !_groupHasText) Separate(); // upstream joins with spaces, and an empty last part counts
        _afterPart = false;
        return Take();
    }

    private void EndGroup()
    {
        if (_group is null) return;
        var text = new StringBuilder();
        _group.Finish(text);
        AddToGroup(text);
        _group = null;
        _afterPart |= _groupHasText;
    }

    private void AddToGroup(StringBuilder text)
    {
        if (text.Length == 0) return;
        if (!_groupHasText) Separate();
        _groupHasText = true;
        _text.Append(text);
    }

    private void Separate()
    {
        if (_afterPart) _text.Append(' ');
    }

    private string Take()
    {
        string text = _text.ToString();
        _text.Clear();
        return text;
    }
}
