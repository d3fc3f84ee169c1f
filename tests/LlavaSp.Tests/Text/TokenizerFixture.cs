using System.Text.Json;
using LlavaSp.Text;

namespace LlavaSp.Tests.Text;

/// <summary>Tokenizers of both golden files, with legacy true and false, in temporary folders of their own.</summary>
internal static class TokenizerFixture
{
    public static string TinyModel => Path.Combine(Goldens.Root, "tokenizer", "tokenizer.model");

    public static JsonElement Golden(string name) =>
        JsonDocument.Parse(File.ReadAllBytes(Goldens.Golden($"tokenizer_{name}.json"))).RootElement;

    /// <summary>The tokenizer.model of "tiny" or "llama"; skips the test where the latter is not there.</summary>
    public static string Model(string name)
    {
        if (name == "tiny") return TinyModel;
        string? path = Goldens.LlamaTokenizer;
        if (path is null) Assert.Skip("the Llama tokenizer.model (third-party, never committed) is not in shared/goldens/tokenizer-llama");
        return path;
    }

    public static LlavaTokenizer Tokenizer(string name, bool legacy) =>
        Load(File.ReadAllBytes(Model(name)), ("tokenizer_config.json", legacy ? """{"legacy": true}""" : """{"legacy": false}"""));

    /// <summary>Loads a tokenizer from a model's bytes and other files.</summary>
    public static LlavaTokenizer Load(byte[]? model, params (string Name, string Text)[] files)
    {
        string folder = Directory.CreateTempSubdirectory("llava-sp-test-").FullName;
        try
        {
            if (model is not null) File.WriteAllBytes(Path.Combine(folder, "tokenizer.model"), model);
            foreach (var (name, text) in files) File.WriteAllText(Path.Combine(folder, name), text);
            return LlavaTokenizer.Load(folder);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    public static int[] Ids(this JsonElement element, string name) =>
        [.. element.GetProperty(name).EnumerateArray().Select(v => v.GetInt32())];

    public static string Text(this JsonElement element, string name) => element.GetProperty(name).GetString()!;

    public static string Show(string text) => JsonSerializer.Serialize(text.Length > 80 ? text[..80] : text);

    public static string Show(IEnumerable<int> ids) => $"[{string.Join(",", ids)}]";
}
