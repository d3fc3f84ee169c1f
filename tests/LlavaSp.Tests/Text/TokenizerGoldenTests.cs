using System.Text.Json;
using LlavaSp.Text;

namespace LlavaSp.Tests.Text;

/// <summary>Every case of tokenizer_tiny.json and tokenizer_llama.json; each test lists all that differ.</summary>
public class TokenizerGoldenTests
{
    private readonly List<string> _differences = [];

    [Theory]
    [InlineData("tiny")]
    [InlineData("llama")]
    public void StringsEncodeAndDecode(string name)
    {
        LlavaTokenizer modern = TokenizerFixture.Tokenizer(name, legacy: false);
        LlavaTokenizer legacy = TokenizerFixture.Tokenizer(name, legacy: true);
        JsonElement golden = TokenizerFixture.Golden(name);
        Assert.Equal(golden.GetProperty("vocab_size").GetInt32(), modern.VocabularySize);
        int count = 0;
        foreach (JsonElement c in golden.GetProperty("strings").EnumerateArray())
        {
            string text = c.Text("text");
            int[] ids = c.Ids("ids");
            Compare(text, "sentencepiece_ids", c.Ids("sentencepiece_ids"), modern.EncodePieces(text));
            Compare(text, "sentencepiece_ids (legacy)", c.Ids("sentencepiece_ids"), legacy.EncodePieces(text));
            Compare(text, "ids", ids, modern.Encode(text));
            Compare(text, "ids_legacy", c.Ids("ids_legacy"), legacy.Encode(text));
            Compare(text, "decoded", c.Text("decoded"), modern.Decode(ids));
            Compare(text, "decoded_keep_special", c.Text("decoded_keep_special"), modern.Decode(ids, skipSpecialTokens: false));
            Compare(text, "streamed", c.Text("decoded"), Stream(modern, ids));
            count++;
        }
        Assert.True(count >= 70, "cases went missing");
        Assert.Empty(_differences);
    }

    [Theory]
    [InlineData("tiny")]
    [InlineData("llama")]
    public void ConversationsBecomePromptsAndIds(string name)
    {
        LlavaTokenizer modern = TokenizerFixture.Tokenizer(name, legacy: false);
        LlavaTokenizer legacy = TokenizerFixture.Tokenizer(name, legacy: true);
        int count = 0;
        foreach (JsonElement c in TokenizerFixture.Golden(name).GetProperty("conversations").EnumerateArray())
        {
            string?[] turns = [.. c.GetProperty("turns").EnumerateArray().Select(t => t.GetString())];
            string prompt = ConversationTemplate.Get(c.Text("template")).BuildPrompt(turns);
            string what = $"{c.Text("template")} {string.Join('|', turns)}";
            Compare(what, "prompt", c.Text("prompt"), prompt);
            Compare(what, "ids", c.Ids("ids"), ImageToken.Encode(modern, prompt));
            Compare(what, "ids_legacy", c.Ids("ids_legacy"), ImageToken.Encode(legacy, prompt));
            Assert.Equal(c.Ids("ids").Count(id => id == ImageToken.Id), ImageToken.Count(prompt));
            count++;
        }
        Assert.True(count >= 25, "cases went missing");
        Assert.Empty(_differences);
    }

    [Theory]
    [InlineData("tiny")]
    [InlineData("llama")]
    public void IdListsDecode(string name)
    {
        LlavaTokenizer modern = TokenizerFixture.Tokenizer(name, legacy: false);
        LlavaTokenizer legacy = TokenizerFixture.Tokenizer(name, legacy: true);
        int count = 0;
        foreach (JsonElement c in TokenizerFixture.Golden(name).GetProperty("decode").EnumerateArray())
        {
            int[] ids = c.Ids("ids");
            string what = TokenizerFixture.Show(ids);
            Compare(what, "text", c.Text("text"), modern.Decode(ids));
            Compare(what, "text_legacy", c.Text("text_legacy"), legacy.Decode(ids));
            Compare(what, "batch_decode_strip", c.Text("batch_decode_strip"), PythonText.Strip(modern.Decode(ids)));
            Compare(what, "text streamed", c.Text("text"), Stream(modern, ids));
            Compare(what, "text_legacy streamed", c.Text("text_legacy"), Stream(legacy, ids));
            count++;
        }
        Assert.True(count >= 14, "cases went missing");
        Assert.Empty(_differences);
    }

    [Fact]
    public void CheckpointPromptsHaveTheirIds()
    {
        int count = 0;
        foreach (string file in Directory.GetFiles(Goldens.Golden(), "prompts.json", SearchOption.AllDirectories))
        {
            string checkpoint = Path.GetFileName(Path.GetDirectoryName(file)!);
            LlavaTokenizer tokenizer = LlavaTokenizer.Load(Goldens.Checkpoint(checkpoint));
            foreach (JsonProperty prompt in JsonDocument.Parse(File.ReadAllBytes(file)).RootElement.EnumerateObject())
            {
                if (prompt.Value.ValueKind != JsonValueKind.Object) continue;
                if (prompt.Value.TryGetProperty("prompt", out JsonElement text) && text.ValueKind == JsonValueKind.String)
                {
                    int[] ids = ImageToken.Encode(tokenizer, text.GetString()!);
                    Compare($"{checkpoint} {prompt.Name}", "ids", prompt.Value.Ids("input_ids"), ids);
                    count++;
                }
                if (!prompt.Value.TryGetProperty("greedy_text", out JsonElement answer)) continue;
                Compare($"{checkpoint} {prompt.Name}", "answer", answer.GetString()!, tokenizer.Decode(prompt.Value.Ids("greedy_ids")));
            }
        }
        Assert.True(count > 0, "no prompt was compared");
        Assert.Empty(_differences);
    }

    private static string Stream(LlavaTokenizer tokenizer, int[] ids)
    {
        var detokenizer = new StreamingDetokenizer(tokenizer);
        return string.Concat(ids.Select(detokenizer.Append)) + detokenizer.Flush();
    }

    private void Compare(string what, string field, int[] expected, int[] actual)
    {
        if (!expected.SequenceEqual(actual)) Add(what, field, TokenizerFixture.Show(expected), TokenizerFixture.Show(actual));
    }

    private void Compare(string what, string field, string expected, string actual)
    {
        if (!string.Equals(expected, actual, StringComparison.Ordinal))
            Add(what, field, TokenizerFixture.Show(expected), TokenizerFixture.Show(actual));
    }

    private void Add(string what, string field, string expected, string actual) =>
        _differences.Add($"{TokenizerFixture.Show(what)} {field}: {actual} instead of {expected}");
}
