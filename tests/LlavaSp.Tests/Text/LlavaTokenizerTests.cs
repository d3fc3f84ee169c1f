using CsCheck;
using LlavaSp.Text;

namespace LlavaSp.Tests.Text;

public class LlavaTokenizerTests
{
    private static readonly byte[] Tiny = File.ReadAllBytes(TokenizerFixture.TinyModel);

    private static readonly Gen<string> AnyText = Gen.OneOf(
        Gen.String,
        Gen.OneOf("a", " ", "  ", "\n", "▁", "the", "é", "\U0001F600", "\ud83d", "\0", "<s>", "</s>", "<unk>", "<0x41>", "中")
            .Array[0, 30].Select(string.Concat));

    [Fact]
    public void AnyTextEncodesAndComesBack()
    {
        LlavaTokenizer modern = TokenizerFixture.Tokenizer("tiny", legacy: false);
        LlavaTokenizer legacy = TokenizerFixture.Tokenizer("tiny", legacy: true);
        AnyText.Sample(text =>
        {
            Assert.All(legacy.Encode(text), id => Assert.InRange(id, 0, 511));
            int[] ids = modern.Encode(text);
            Assert.All(ids, id => Assert.InRange(id, 0, 511));
            if (new[] { "<s>", "</s>", "<unk>" }.Any(text.Contains)) return;
            // a first piece that is not in the vocabulary without its first mark keeps the others, as in the goldens' "     indented"
            Assert.Equal(WellFormed(text).Replace('▁', ' '), modern.Decode(ids).Replace('▁', ' '));
        }, iter: 3000);
    }

    [Fact]
    public void StreamingGivesTheWholeDecode()
    {
        LlavaTokenizer[] tokenizers =
        [
            TokenizerFixture.Tokenizer("tiny", legacy: false),
            TokenizerFixture.Tokenizer("tiny", legacy: true),
            WithAddedTokens(legacy: false),
            WithAddedTokens(legacy: true),
        ];
        Gen<int> id = Gen.OneOf(Gen.Int[0, 511], Gen.Int[3, 258], Gen.Int[195, 255],
            Gen.OneOf(0, 1, 2, 262, 439, 162 + 3, 0xF0 + 3, 0x9F + 3));
        Gen.Select(Gen.Int[0, 3], Gen.OneOf(id, id, id, Gen.Int[512, 515]).Array[0, 40]).Sample((which, ids) =>
        {
            LlavaTokenizer tokenizer = tokenizers[which];
            ids = [.. ids.Where(i => i < tokenizer.VocabularySize)];
            var detokenizer = new StreamingDetokenizer(tokenizer);
            for (int round = 0; round < 2; round++) // Flush begins anew
            {
                string[] pieces = [.. ids.Select(detokenizer.Append), detokenizer.Flush()];
                Assert.Equal(tokenizer.Decode(ids), string.Concat(pieces));
                Assert.All(pieces, piece => Assert.Equal(WellFormed(piece), piece));
            }
        }, iter: 5000);
    }

    [Fact]
    public void StreamingWaitsForWholeCharactersOnly()
    {
        var detokenizer = new StreamingDetokenizer(TokenizerFixture.Tokenizer("tiny", legacy: false));
        Assert.Equal("H", detokenizer.Append(489));
        Assert.Equal(["", "", "", "\U0001F600"], new[] { 243, 162, 155, 131 }.Select(detokenizer.Append));
        Assert.Equal(["", "", "\ufffd\ufffdH"], new[] { 243, 162, 489 }.Select(detokenizer.Append));
        Assert.Equal(["", "\ufffd", "\ufffdA"], new[] { 243, 243, 68 }.Select(detokenizer.Append));
        Assert.Equal("", detokenizer.Append(243));
        Assert.Equal("\ufffd", detokenizer.Flush());
    }

    [Fact]
    public void AddedTokensSplitTheTextAndSwallowSpacesAsTheySay()
    {
        LlavaTokenizer tokenizer = WithAddedTokens(legacy: false);
        Assert.Equal(516, tokenizer.VocabularySize);
        Assert.Equal([1, .. Pieces(tokenizer, " a"), 512, .. Pieces(tokenizer, "b")], tokenizer.Encode("a<im>b"));
        Assert.Equal([1, .. Pieces(tokenizer, " a"), 513, .. Pieces(tokenizer, "b")], tokenizer.Encode("a  <im>2 \t\u001cb"));
        // a single word only between spaces
        Assert.Equal([1, .. Pieces(tokenizer, " a "), 514, .. Pieces(tokenizer, " b")], tokenizer.Encode("a word b"));
        Assert.DoesNotContain(514, tokenizer.Encode("a wordb"));
        Assert.DoesNotContain(514, tokenizer.Encode("aword b"));
        // the padding token is in no file with an id: it gets the next one; special tokens at the front take the prefix space away
        Assert.Equal(515, tokenizer.PadId);
        Assert.Equal([1, 515, .. Pieces(tokenizer, "a")], tokenizer.Encode("[PAD]a"));
        Assert.Equal([1, 439, 512, .. Pieces(tokenizer, "a")], tokenizer.Encode("<im>a"));
    }

    [Fact]
    public void AddedTokensWithoutARoleStandBetweenSpaces()
    {
        LlavaTokenizer tokenizer = WithAddedTokens(legacy: false);
        Assert.Equal("<im> a <im> <im>", tokenizer.Decode([1, 512, 260, 515, 512, 439, 512, 2]));
        Assert.Equal("<im> ", tokenizer.Decode([512, 439]));
        Assert.Equal("<s> <im>  a[PAD]", tokenizer.Decode([1, 512, 439, 260, 515], skipSpecialTokens: false));
    }

    [Fact]
    public void LegacyDecodePutsASpaceBeforeWhatPrecedesASpecialToken()
    {
        LlavaTokenizer tokenizer = TokenizerFixture.Tokenizer("tiny", legacy: true);
        Assert.Equal("<s> a</s>", tokenizer.Decode([1, 260, 2], skipSpecialTokens: false));
        Assert.Equal(" a</s>", tokenizer.Decode([260, 2], skipSpecialTokens: false));
        Assert.Equal("<s>a", tokenizer.Decode([1, 260], skipSpecialTokens: false));
    }

    [Fact]
    public void OlderFilesNameTokensToo()
    {
        LlavaTokenizer tokenizer = TokenizerFixture.Load(Tiny,
            ("tokenizer_config.json", """{"legacy": null, "add_eos_token": true, "pad_token": "</s>"}"""),
            ("special_tokens_map.json", """{"pad_token": {"content": "<unk>", "lstrip": false}, "additional_special_tokens": ["<im>"]}"""),
            ("added_tokens.json", """{"<im>": 512, "<x>": 513}"""));
        Assert.True(tokenizer.Legacy);
        Assert.Equal(0, tokenizer.PadId);
        Assert.Equal([1, 512, 513, 2], tokenizer.Encode("<im><x>"));
        Assert.Equal("<x>", tokenizer.Decode([1, 512, 513, 2]));
        Assert.Equal([1, 2], TokenizerFixture.Load(Tiny).Encode("</s>"));
        LlavaTokenizer bare = TokenizerFixture.Load(Tiny, ("tokenizer_config.json", """{"add_bos_token": false}"""));
        Assert.Equal([260], bare.Encode("a"));
        Assert.Equal([260, -200, 260], ImageToken.Encode(bare, "a<image>a"));
        Assert.Equal([1, 260, -200], ImageToken.Encode(bare, "<s>a<image>b")); // upstream's own loss of the first id after a begin token
    }

    [Fact]
    public void WhatIsMissingIsSaid()
    {
        Refused("tokenizer.model", null, ("tokenizer.json", "{}"));
        Refused("has no tokenizer", null);
        Refused("GPTNeoXTokenizer", Tiny, ("tokenizer_config.json", """{"tokenizer_class": "GPTNeoXTokenizer"}"""));
        Refused("bos_token", Tiny, ("tokenizer_config.json", """{"bos_token": null}"""));
        Refused("legacy", Tiny, ("tokenizer_config.json", """{"legacy": "no"}"""));
        Refused("not a JSON object", Tiny, ("tokenizer_config.json", "[]"));
        Refused("cannot be used", Tiny, ("tokenizer_config.json", "{"));
        Refused("cannot be used", Tiny, ("tokenizer_config.json", """{"bos_token": "\ud800"}"""));
        Refused("not a token id", Tiny, ("tokenizer_config.json", """{"added_tokens_decoder": {"-1": "x"}}"""));
        Refused("not a token id", Tiny, ("tokenizer_config.json", """{"added_tokens_decoder": {"2147483647": "x"}}"""));
        Refused("not a token id", Tiny, ("added_tokens.json", """{"x": 1e99}"""));
        Refused("not a token id", Tiny, ("added_tokens.json", """{"x": 2147483647}"""));
        Refused("neither a string", Tiny, ("special_tokens_map.json", """{"eos_token": 3}"""));
        var e = Assert.Throws<PromptException>(() => TokenizerFixture.Load(Tiny).Decode([ImageToken.Id]));
        Assert.Contains("-200", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void DamagedModelsAreRefusedOrWork()
    {
        Gen<byte[]> garbage = Gen.Byte.Array[0, 300];
        Gen<byte[]> truncated = Gen.Int[0, Tiny.Length].Select(n => Tiny[..n]);
        Gen<byte[]> flipped = Gen.Select(Gen.Int[0, Tiny.Length - 1], Gen.Byte).Array[1, 8].Select(changes =>
        {
            byte[] bytes = [.. Tiny];
            foreach (var (at, value) in changes) bytes[at] = value;
            return bytes;
        });
        Gen.OneOf(garbage, truncated, flipped).Sample(bytes =>
        {
            try
            {
                LlavaTokenizer tokenizer = TokenizerFixture.Load(bytes);
                tokenizer.Decode(tokenizer.Encode("The <s> q\u00e9 \U0001F600  x"));
            }
            catch (LlavaSpException e)
            {
                Assert.DoesNotContain('\n', e.Message);
            }
        }, iter: 2000);
    }

    private static int[] Pieces(LlavaTokenizer tokenizer, string text) => [.. tokenizer.Model.Encode(text, addDummyPrefix: false)];

    private static void Refused(string why, byte[]? model, params (string Name, string Text)[] files)
    {
        var e = Assert.Throws<CheckpointException>(() => TokenizerFixture.Load(model, files));
        Assert.Contains(why, e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
    }

    private static string WellFormed(string text) => string.Concat(text.EnumerateRunes());

    private static LlavaTokenizer WithAddedTokens(bool legacy) => TokenizerFixture.Load(Tiny, ("tokenizer_config.json", $$"""
        {
          "legacy": {{(legacy ? "true" : "false")}},
          "pad_token": "[PAD]",
          "added_tokens_decoder": {
            "0": {"content": "<unk>", "special": true},
            "1": {"content": "<s>", "special": true},
            "2": {"content": "</s>", "special": true},
            "512": {"content": "<im>", "special": true},
            "513": {"content": "<im>2", "lstrip": true, "rstrip": true},
            "514": {"content": "word", "single_word": true}
          }
        }
        """));
}
