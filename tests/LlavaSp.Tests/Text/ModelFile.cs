using Google.Protobuf;
using LlavaSp.Text;
using static LlavaSp.Worlds.Language.SentencePieceFile;

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

    public byte[] ToBytes() => Message(model =>
    {
        foreach (var (text, score, type) in _pieces)
            Piece(model, text, score, (int)type);
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
}
