using System.Diagnostics;
using CsCheck;
using LlavaSp.Text;
using Microsoft.ML.Tokenizers;

namespace LlavaSp.Tests.Text;

public class SentencePieceModelTests
{
    [Fact]
    public void AgreesWithPlainByPairSearchOnRandomVocabularies()
    {
        Gen<string> word = Gen.Char["abé▁"].Array[1, 5].Select(c => new string(c));
        Gen<Dictionary<string, float>> vocabulary =
            Gen.Select(word, Gen.Int[-4, 0]).Array[1, 40]
                .Select(all => all.GroupBy(p => p.Item1).ToDictionary(g => g.Key, g => (float)g.First().Item2));
        Gen.Select(vocabulary, Gen.Char["aabbé x"].Array[0, 60].Select(c => new string(c))).Sample((pieces, text) =>
        {
            var file = new ModelFile();
            foreach (var (piece, score) in pieces) file.Add(piece, score);
            SentencePieceModel model = file.Load();
            Assert.Equal(PlainEncode(model, pieces, text), model.Encode(text, addDummyPrefix: false));
        }, iter: 3000);
    }

    [Fact]
    public void RunsOfUnknownCharactersAreOnePieceOrTheirBytes()
    {
        SentencePieceModel without = new ModelFile().Add("a").Load();
        Assert.Equal([1, 0, 1, 0], without.Encode("axxa\U0001F600x", addDummyPrefix: false));
        SentencePieceModel with = new ModelFile { ByteFallback = true }.Add("a").AddBytes().Load();
        Assert.Equal([1, 2 + 0xF0, 2 + 0x9F, 2 + 0x98, 2 + 0x80], with.Encode("a\U0001F600", addDummyPrefix: false));
        Assert.Equal([2 + 0xEF, 2 + 0xBF, 2 + 0xBD, 2], with.Encode("\ud800\0", addDummyPrefix: false));
    }

    [Fact]
    public void UserDefinedPiecesAreFoundFirstLongestFirstAndNeverJoined()
    {
        SentencePieceModel model = new ModelFile()
            .Add("a").Add("b").Add("<x", 0, PieceType.UserDefined).Add("<xx>", 0, PieceType.UserDefined).Add("a<x", 9).Add("ab", 1).Load();
        Assert.Equal([1, 3, 6], model.Encode("a<xab", addDummyPrefix: false));
        Assert.Equal([1, 4, 2], model.Encode("a<xx>b", addDummyPrefix: false));
    }

    [Fact]
    public void NormaliserAddsPrefixAndJoinsSpaces()
    {
        var file = new ModelFile { RemoveExtraWhitespace = true }.Add("a").Add("▁");
        SentencePieceModel model = file.Load();
        Assert.Equal([2, 1, 2, 1], model.Encode("  a   a  ", addDummyPrefix: true));
        Assert.Equal([1, 2, 1], model.Encode("  a   a  ", addDummyPrefix: false));
        Assert.Empty(model.Encode("   ", addDummyPrefix: true));
    }

    [Fact]
    public void MicrosoftTokenizersStillJoinsTheRightmostOfEquals()
    {
        // the reason for an encoder of our own: when this fails, the package may have become exact
        using FileStream file = File.OpenRead(TokenizerFixture.TinyModel);
        var theirs = SentencePieceTokenizer.Create(file, addBeginningOfSentence: false, addEndOfSentence: false);
        int[] golden = [262, 439];
        Assert.Equal(golden, TokenizerFixture.Tokenizer("tiny", legacy: true).EncodePieces("  "));
        Assert.NotEqual(golden, theirs.EncodeToIds("  "));
    }

    [Theory]
    [InlineData("The quick brown fox jumps. ")]
    [InlineData("a")]
    [InlineData(" ")]
    [InlineData("</s>")]
    [InlineData("\U0001F9D1")]
    public void LongTextTakesTimeInProportion(string unit)
    {
        LlavaTokenizer tokenizer = TokenizerFixture.Tokenizer("tiny", legacy: false);
        string text = string.Concat(Enumerable.Repeat(unit, 1_000_000 / unit.Length));
        tokenizer.Encode(text[..10_000]);
        var watch = Stopwatch.StartNew();
        int[] ids = tokenizer.Encode(text);
        string back = tokenizer.Decode(ids);
        Assert.Equal(unit == "</s>" ? "" : text, back.Replace('▁', ' '));
        Assert.NotEmpty(ids);
        // a quadratic search would take hours; the limit leaves room for a busy machine
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(30), $"{watch.Elapsed} for {text.Length} characters");
    }

    [Fact]
    public void ModelsOfAnotherKindAreRefusedByName()
    {
        Refused("Unigram", new ModelFile { ModelType = 1 }.Add("a"));
        Refused("character map", new ModelFile { CharacterMap = [1, 2] }.Add("a"));
        Refused("suffixes", new ModelFile { SpaceIsSuffix = true }.Add("a"));
        Refused("256 byte pieces", new ModelFile { ByteFallback = true }.Add("a").Add("<0x41>", 0, PieceType.Byte));
        Refused("does not fall back", new ModelFile().Add("<0x41>", 0, PieceType.Byte));
        Refused("<0xNN>", new ModelFile { ByteFallback = true }.Add("<0xZZ>", 0, PieceType.Byte));
        Refused("the same", new ModelFile().Add("a").Add("a"));
        Refused("is empty", new ModelFile().Add(""));
        Refused("finite", new ModelFile().Add("a", float.NaN));
        Refused("both the unknown", new ModelFile().Add("?", 0, PieceType.Unknown));
        Refused("Unused", new ModelFile().Add("a", 0, PieceType.Unused));
    }

    private static void Refused(string why, ModelFile file)
    {
        var e = Assert.Throws<CheckpointException>(file.Load);
        Assert.Contains(why, e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
    }

    /// <summary>Joins the best pair, the leftmost of equals, until there is none: the definition, searched anew each time.</summary>
    private static List<int> PlainEncode(SentencePieceModel model, Dictionary<string, float> scores, string text)
    {
        List<string> symbols = [.. text.Replace(' ', '▁').Select(c => c.ToString())];
        while (true)
        {
            int best = -1;
            for (int i = 0; i + 1 < symbols.Count; i++)
            {
                if (!scores.TryGetValue(symbols[i] + symbols[i + 1], out float score)) continue;
                if (best < 0 || score > scores[symbols[best] + symbols[best + 1]]) best = i;
            }
            if (best < 0) break;
            symbols[best] += symbols[best + 1];
            symbols.RemoveAt(best + 1);
        }
        var ids = new List<int>();
        foreach (string symbol in symbols)
        {
            int id = model.IdOf(symbol);
            if (id != model.UnknownId || ids.Count == 0 || ids[^1] != model.UnknownId) ids.Add(id);
        }
        return ids;
    }
}
