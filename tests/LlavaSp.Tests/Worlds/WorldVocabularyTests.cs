using CsCheck;
using LlavaSp.Tests.Text;
using LlavaSp.Text;
using LlavaSp.Worlds.Language;

namespace LlavaSp.Tests.Worlds;

public class WorldVocabularyTests
{
    private static readonly LlavaTokenizer Tokenizer =
        TokenizerFixture.Load(WorldVocabulary.Build(), ("tokenizer_config.json", """{"legacy": false}"""));

    [Fact]
    public void HasTheSpecialPiecesAndAtMostAThousand()
    {
        Assert.Equal((0, 1, 2), (Tokenizer.UnknownId, Tokenizer.BosId!.Value, Tokenizer.EosId!.Value));
        Assert.InRange(Tokenizer.VocabularySize, SentencePieceFile.Reserved, WorldVocabulary.MostPieces);
        Assert.Equal("<0x00>", Tokenizer.TokenText(3));
    }

    [Fact]
    public void TheCorpusComesBack() => Assert.All(WorldVocabulary.Corpus().Distinct().Take(5000), text =>
        Assert.Equal(text.Replace("</s>", "", StringComparison.Ordinal), Tokenizer.Decode(Tokenizer.Encode(text))));

    [Fact]
    public void AnyTextComesBack() => Gen.Char.Array[0, 30].Select(c => new string(c)).Sample(text =>
    {
        if (text.Any(char.IsSurrogate) || text.Contains("<s>") || text.StartsWith(' ')) return;
        Assert.Equal(text.Replace('\u2581', ' '), Tokenizer.Decode(Tokenizer.Encode(text)).Replace('\u2581', ' '));
    }, iter: 1000);

    [Theory]
    [InlineData("circle")]
    [InlineData("assistant")]
    [InlineData("striped")]
    public void CommonWordsAreOnePiece(string word) => Assert.Single(Tokenizer.EncodePieces(word));
}
