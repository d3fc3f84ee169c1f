using Google.Protobuf;
using LlavaSp.Text;

namespace LlavaSp.Tests.Text;

/// <summary>Writes small tokenizer.model files (sentencepiece_model.proto).</summary>
internal sealed class ModelFile
{
    private readonly List<(string Text, float Score, PieceType Type)> _pieces = [("<unk>", 0, PieceType.Unknown)];

    public int ModelType { get; init; } = 2;

    public bool ByteFallback { get; init; }

    public bool SpaceIsSuffix { get; init; }

    public bool AddDummyPrefix { get; init; }

    public bool RemoveExtraWhitespace { get; init; }

    public byte[] CharacterMap { get; init; } = [];

    public ModelFile Add(string text, float score = 0, PieceType type = PieceType.Normal)
    {
        _pieces.Add((text, score, type));
        return this;
    }

    public ModelFile AddBytes()
    {
        for (int value = 0; value < 256; value++) Add($"<0x{value:X2}>", 0, PieceType.Byte);
        return this;
    }

    public byte[] ToBytes() => Write(model =>
    {
        foreach (var (text, score, type) in _pieces)
        {
            Nested(model, 1, piece =>
            {
                piece.WriteTag(1, WireFormat.WireType.LengthDelimited);
                piece.WriteString(text);
                piece.WriteTag(2, WireFormat.WireType.Fixed32);
                piece.WriteFloat(score);
                Number(piece, 3, (int)type);
            });
        }
        Nested(model, 2, trainer =>
        {
            Number(trainer, 3, ModelType);
            Number(trainer, 24, SpaceIsSuffix ? 1 : 0);
            Number(trainer, 35, ByteFallback ? 1 : 0);
        });
        Nested(model, 3, normalizer =>
        {
            normalizer.WriteTag(2, WireFormat.WireType.LengthDelimited);
            normalizer.WriteBytes(ByteString.CopyFrom(CharacterMap));
            Number(normalizer, 3, AddDummyPrefix ? 1 : 0);
            Number(normalizer, 4, RemoveExtraWhitespace ? 1 : 0);
        });
    });

    public SentencePieceModel Load()
    {
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(path, ToBytes());
            return SentencePieceModel.Load(path);
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static void Number(CodedOutputStream output, int field, int value)
    {
        output.WriteTag(field, WireFormat.WireType.Varint);
        output.WriteInt32(value);
    }

    private static void Nested(CodedOutputStream output, int field, Action<CodedOutputStream> write)
    {
        output.WriteTag(field, WireFormat.WireType.LengthDelimited);
        output.WriteBytes(ByteString.CopyFrom(Write(write)));
    }

    private static byte[] Write(Action<CodedOutputStream> write)
    {
        using var stream = new MemoryStream();
        using (var output = new CodedOutputStream(stream, leaveOpen: true)) write(output);
        return stream.ToArray();
    }
}
