using System.Globalization;
using System.Text.Json;

namespace LlavaSp.Text;

/// <summary>
/// What the JSON files beside a tokenizer.model say, read in the order in which transformers 4.37 does: added_tokens_decoder of
/// tokenizer_config.json, or, without one, special_tokens_map.json and added_tokens.json.
/// </summary>
internal sealed class TokenizerConfig
{
    private const int MaxFileBytes = 16 << 20;
    private const int MaxTokenId = 1 << 24;

    private static readonly string[] Attributes =
        ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

    private readonly Dictionary<string, AddedToken?> _special = new(StringComparer.Ordinal)
    {
        ["bos_token"] = new("<s>"),
        ["eos_token"] = new("</s>"),
        ["unk_token"] = new("<unk>"),
    };

    private readonly List<AddedToken> _additional = [];

    private TokenizerConfig() { }

    /// <summary>transformers' <c>legacy</c>: true unless the file says false.</summary>
    public bool Legacy { get; private set; } = true;

    public bool AddBos { get; private set; } = true;

    public bool AddEos { get; private set; }

    public AddedToken? Bos => Named("bos_token");

    public AddedToken? Eos => Named("eos_token");

    public AddedToken? Unknown => Named("unk_token");

    public AddedToken? Pad => Named("pad_token");

    /// <summary>The tokens with a role, in transformers' order, each text once.</summary>
    public IEnumerable<AddedToken> Special =>
        Attributes.Select(Named).OfType<AddedToken>().Concat(_additional).DistinctBy(t => t.Content);

    /// <summary>Texts of the tokens named as additional special ones.</summary>
    public IEnumerable<string> Additional => _additional.Select(t => t.Content);

    /// <summary>Tokens that the files give an id.</summary>
    public SortedDictionary<int, AddedToken> Added { get; } = [];

    /// <summary>Reads the files that are there.</summary>
    /// <exception cref="CheckpointException">A file is not the JSON it should be, or names another kind of tokenizer.</exception>
    public static TokenizerConfig Load(string folder)
    {
        var config = new TokenizerConfig();
        bool hasDecoder = false;
        Read(folder, "tokenizer_config.json", root => hasDecoder = config.ReadConfig(root));
        if (hasDecoder) return config;
        Read(folder, "special_tokens_map.json", config.ReadSpecialTokens);
        Read(folder, "added_tokens.json", config.ReadAddedTokens);
        return config;
    }

    private AddedToken? Named(string attribute) => _special.GetValueOrDefault(attribute);

    private static void Read(string folder, string name, Action<JsonElement> read)
    {
        string path = Path.Combine(folder, name);
        if (!File.Exists(path)) return;
        try
        {
            if (new FileInfo(path).Length > MaxFileBytes) throw new FormatException($"it has more than the {MaxFileBytes} bytes allowed");
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(path));
            if (document.RootElement.ValueKind != JsonValueKind.Object) throw new FormatException("it is not a JSON object");
            read(document.RootElement);
        }
        catch (Exception e) when (e is FormatException or JsonException or InvalidOperationException or IOException
            or UnauthorizedAccessException)
        {
            throw new CheckpointException($"{path} cannot be used: {e.Message.ReplaceLineEndings(" ")}", e);
        }
    }

    private bool ReadConfig(JsonElement root)
    {
        if (root.TryGetProperty("tokenizer_class", out JsonElement kind) && kind.ValueKind == JsonValueKind.String
            && kind.GetString() is not ("LlamaTokenizer" or "LlamaTokenizerFast" or "PreTrainedTokenizerFast"))
            throw new FormatException($"its tokenizer_class is {Show(kind.GetString()!)}; only LlamaTokenizer is supported");
        Legacy = Flag(root, "legacy", true);
        AddBos = Flag(root, "add_bos_token", true);
        AddEos = Flag(root, "add_eos_token", false);
        ReadSpecialTokens(root);
        if (!root.TryGetProperty("added_tokens_decoder", out JsonElement added) || added.ValueKind == JsonValueKind.Null) return false;
        if (added.ValueKind != JsonValueKind.Object) throw new FormatException("added_tokens_decoder is not an object");
        foreach (JsonProperty entry in added.EnumerateObject())
        {
            if (!int.TryParse(entry.Name, NumberStyles.None, CultureInfo.InvariantCulture, out int id) || id > MaxTokenId)
                throw new FormatException($"added_tokens_decoder has the key {Show(entry.Name)}, which is not a token id");
            Added[id] = Token(entry.Value, $"added_tokens_decoder[{id}]");
        }
        return true;
    }

    private void ReadSpecialTokens(JsonElement root)
    {
        foreach (string attribute in Attributes)
        {
            if (!root.TryGetProperty(attribute, out JsonElement value)) continue;
            _special[attribute] = value.ValueKind == JsonValueKind.Null ? null : Token(value, attribute);
        }
        if (!root.TryGetProperty("additional_special_tokens", out JsonElement list) || list.ValueKind == JsonValueKind.Null) return;
        if (list.ValueKind != JsonValueKind.Array) throw new FormatException("additional_special_tokens is not a list");
        foreach (JsonElement value in list.EnumerateArray())
        {
            AddedToken token = Token(value, "additional_special_tokens");
            if (!_additional.Contains(token)) _additional.Add(token);
        }
    }

    private void ReadAddedTokens(JsonElement root)
    {
        foreach (JsonProperty entry in root.EnumerateObject())
        {
            if (entry.Value.ValueKind != JsonValueKind.Number || !entry.Value.TryGetInt32(out int id)
                || id is < 0 or > MaxTokenId)
                throw new FormatException($"the id of {Show(entry.Name)} is not a token id");
            Added[id] = new AddedToken(entry.Name);
        }
    }

    private static AddedToken Token(JsonElement value, string where)
    {
        if (value.ValueKind == JsonValueKind.String) return new AddedToken(value.GetString()!);
        if (value.ValueKind == JsonValueKind.Object && value.TryGetProperty("content", out JsonElement content)
            && content.ValueKind == JsonValueKind.String)
            return new AddedToken(content.GetString()!, Flag(value, "lstrip", false), Flag(value, "rstrip", false),
                Flag(value, "single_word", false));
        throw new FormatException($"{where} is neither a string nor an object with a content");
    }

    private static bool Flag(JsonElement parent, string name, bool fallback)
    {
        if (!parent.TryGetProperty(name, out JsonElement value) || value.ValueKind == JsonValueKind.Null) return fallback;
        return value.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw new FormatException($"{name} is neither true nor false"),
        };
    }

    private static string Show(string text) => $"\"{(text.Length > 60 ? text[..60] : text).ReplaceLineEndings(" ")}\"";
}
