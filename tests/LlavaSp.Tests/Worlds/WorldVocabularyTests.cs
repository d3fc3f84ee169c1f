using CsCheck;
using LlavaSp.Tests.Imaging;
using LlavaSp.Tests.Text;
using LlavaSp.Text;
using LlavaSp.Worlds.Language;

namespace LlavaSp.Tests.Worlds;

public class WorldVocabularyTests(ITestOutputHelper output)
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
    public void AnyTextComesBack() => Gen.Int[1, 0x10F7FF].Select(i => char.ConvertFromUtf32(i < 0xD800 ? i : i + 0x800)).Array[0, 30]
        .Select(string.Concat).Sample(text =>
        {
            // The first space is the tokenizer's own, and the model writes spaces as U+2581.
            if (text.StartsWith(' ') || text.Contains('\u2581', StringComparison.Ordinal)) return;
            Assert.Equal(text, Tokenizer.Decode(Tokenizer.Encode(text)));
        }, iter: 2000);

    [Fact]
    public void EveryWordIsOnePiece()
    {
        string[] words = [.. WorldVocabulary.Corpus().SelectMany(text => text.Split(' ', '\n')).SelectMany(Letters).Distinct().Order(StringComparer.Ordinal)];
        string[] broken = [.. words.Where(word => Tokenizer.EncodePieces(word).Length != 1)];
        output.WriteLine($"{Tokenizer.VocabularySize} pieces; {words.Length} words, {broken.Length} of several pieces: {string.Join(' ', broken)}");
        Assert.Empty(broken);

        static IEnumerable<string> Letters(string word) =>
            System.Text.RegularExpressions.Regex.Split(word, "[^A-Za-z]+").Where(part => part.Length > 0);
    }

    [Fact]
    public void TheVocabularyStaysTheSame() => Assert.Equal("fd5af2212b32ec2cba7a567b", TestPictures.Hash(WorldVocabulary.Build()));
}
