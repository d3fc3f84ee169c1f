using System.Buffers;
using System.Text;

namespace LlavaSp.Text;

/// <summary>
/// Pieces to text, one at a time, as sentencepiece's Decode does for a whole list: byte pieces gather to UTF-8 characters, each
/// byte that cannot belong to one becomes U+FFFD, the mark U+2581 becomes a space, and with a dummy prefix the first one is dropped.
/// </summary>
internal sealed class PieceDecoder(SentencePieceModel model, bool addDummyPrefix)
{
    private const char Replacement = '\uFFFD';

    private readonly bool _stripsFirstSpace = addDummyPrefix || model.RemoveExtraWhitespace;
    private readonly byte[] _bytes = new byte[4];
    private int _byteCount;
    private bool _atStart = true;
    private bool _strippedLast;
    private bool _hasText;

    /// <summary>Adds what is certain after this piece to <paramref name="output"/>.</summary>
    public void Append(string piece, StringBuilder output)
    {
        int id = model.IdOf(piece);
        if (model.Type(id) == PieceType.Byte)
        {
            _bytes[_byteCount++] = model.ByteValue(id);
            EmitCharacters(output);
            return;
        }
        FlushBytes(output);
        if (_strippedLast || _hasText) _atStart = false;
        _strippedLast = false;
        int before = output.Length;
        switch (model.Type(id))
        {
            case PieceType.Control:
                break;
            case PieceType.Unknown:
                output.Append(model.Piece(id) == piece ? model.UnknownSurface : piece);
                break;
            default:
                bool strip = _atStart && _stripsFirstSpace && piece[0] == SentencePieceModel.Space;
                _strippedLast = strip && !model.RemoveExtraWhitespace;
                output.Append(piece, strip ? 1 : 0, piece.Length - (strip ? 1 : 0));
                output.Replace(SentencePieceModel.Space, ' ', before, output.Length - before);
                break;
        }
        _hasText |= output.Length > before;
    }

    /// <summary>Ends the list of pieces: bytes that wait for more become U+FFFD, and the next piece is a first one again.</summary>
    public void Finish(StringBuilder output)
    {
        FlushBytes(output);
        _atStart = true;
        _strippedLast = false;
        _hasText = false;
    }

    private void EmitCharacters(StringBuilder output)
    {
        while (_byteCount > 0)
        {
            OperationStatus status = Rune.DecodeFromUtf8(_bytes.AsSpan(0, _byteCount), out Rune rune, out int consumed);
            if (status == OperationStatus.NeedMoreData) return;
            if (status == OperationStatus.Done) output.Append(rune);
            else output.Append(Replacement);
            Drop(status == OperationStatus.Done ? consumed : 1);
        }
    }

    private void FlushBytes(StringBuilder output)
    {
        while (_byteCount > 0)
        {
            output.Append(Replacement);
            Drop(1);
            EmitCharacters(output);
        }
    }

    private void Drop(int count)
    {
        _hasText = true;
        _byteCount -= count;
        _bytes.AsSpan(count, _byteCount).CopyTo(_bytes);
    }
}
