using Google.Protobuf;

namespace LlavaSp.Worlds.Language;

/// <summary>Writes tokenizer.model as Llama's is (sentencepiece_model.proto, <c>ModelProto</c>).</summary>
public static class SentencePieceFile
{
    /// <summary>Pieces before the learned ones: unknown, begin, end, and 256 bytes.</summary>
    public const int Reserved = 3 + 256;

    private const int Normal = 1, Unknown = 2, Control = 3, Byte = 6, BytePair = 2;

    /// <summary>The file of a BPE model with byte fallback.</summary>
    /// <param name="pieces">Pieces in the order of their ids; an earlier one is joined sooner.</param>
    public static byte[] Write(IReadOnlyList<string> pieces)
    {
        ArgumentNullException.ThrowIfNull(pieces);
        return Message(model =>
        {
            Piece(model, "<unk>", 0, Unknown);
            Piece(model, "<s>", 0, Control);
            Piece(model, "</s>", 0, Control);
            for (int value = 0; value < 256; value++) Piece(model, $"<0x{value:X2}>", 0, Byte);
            for (int i = 0; i < pieces.Count; i++) Piece(model, pieces[i], -i, Normal);
            Nested(model, 2, trainer =>
            {
                Number(trainer, 3, BytePair);
                Number(trainer, 4, Reserved + pieces.Count);
                Number(trainer, 35, 1);
                Number(trainer, 40, 0);
                Number(trainer, 41, 1);
                Number(trainer, 42, 2);
                Number(trainer, 43, -1);
            });
            Nested(model, 3, normalizer =>
            {
                normalizer.WriteTag(1, WireFormat.WireType.LengthDelimited);
                normalizer.WriteString("identity");
                Number(normalizer, 3, 1);
                Number(normalizer, 4, 0);
                Number(normalizer, 5, 1);
            });
        });
    }

    internal static void Piece(CodedOutputStream model, string text, float score, int type) => Nested(model, 1, piece =>
    {
        piece.WriteTag(1, WireFormat.WireType.LengthDelimited);
        piece.WriteString(text);
        piece.WriteTag(2, WireFormat.WireType.Fixed32);
        piece.WriteFloat(score);
        Number(piece, 3, type);
    });

    internal static void Number(CodedOutputStream output, int field, int value)
    {
        output.WriteTag(field, WireFormat.WireType.Varint);
        output.WriteInt32(value);
    }

    internal static void Nested(CodedOutputStream output, int field, Action<CodedOutputStream> write)
    {
        output.WriteTag(field, WireFormat.WireType.LengthDelimited);
        output.WriteBytes(ByteString.CopyFrom(Message(write)));
    }

    internal static byte[] Message(Action<CodedOutputStream> write)
    {
        using var stream = new MemoryStream();
        using (var output = new CodedOutputStream(stream, leaveOpen: true)) write(output);
        return stream.ToArray();
    }
}
