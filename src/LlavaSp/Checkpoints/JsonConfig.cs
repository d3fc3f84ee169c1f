using System.Text.Json;

namespace LlavaSp.Checkpoints;

/// <summary>A JSON object from outside, read with checks: every complaint names the file and the field.</summary>
internal sealed class JsonConfig
{
    private const int MaxBytes = 64 << 20;
    private readonly JsonElement _object;

    private JsonConfig(JsonElement value, string path)
    {
        _object = value;
        Path = path;
    }

    /// <summary>File (and field) for messages.</summary>
    public string Path { get; }

    /// <summary>Reads a file that must exist.</summary>
    public static JsonConfig Load(string file)
    {
        try
        {
            if (new FileInfo(file).Length > MaxBytes) throw new CheckpointException($"{file}: larger than {MaxBytes >> 20} MiB, not a config");
            return Parse(File.ReadAllBytes(file), file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException($"{file}: cannot be read ({e.Message}): check that the checkpoint's folder is complete", e);
        }
    }

    /// <summary>Reads a file if it exists.</summary>
    public static JsonConfig? TryLoad(string file) => File.Exists(file) ? Load(file) : null;

    /// <summary>Parses UTF-8 text.</summary>
    public static JsonConfig Parse(ReadOnlyMemory<byte> utf8, string path)
    {
        try
        {
            CheckText(utf8.Span, path);
            using var document = JsonDocument.Parse(utf8);
            if (document.RootElement.ValueKind != JsonValueKind.Object) throw new CheckpointException($"{path}: is not a JSON object");
            CheckText(utf8.Span);
            return new JsonConfig(document.RootElement.Clone(), path);
        }
        catch (JsonException e)
        {
            throw new CheckpointException($"{path}: is not valid JSON (line {e.LineNumber + 1}): the file is damaged", e);
        }
        catch (InvalidOperationException e)
        {
            throw new CheckpointException($"{path}: holds a string that is not valid Unicode: the file is damaged", e);
        }
    }

    // A document checks its grammar when it is parsed, but its strings only when they are asked for.
    private static void CheckText(ReadOnlySpan<byte> utf8)
    {
        Utf8JsonReader reader = new(utf8);
        while (reader.Read())
        {
            if (reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName) reader.GetString();
        }
    }

    /// <summary>The raw element, for rewriting.</summary>
    public JsonElement Element => _object;

    /// <summary>Whether the field is there and not null.</summary>
    public bool Has(string name) => TryGet(name, out _);

    /// <summary>A nested object, or null.</summary>
    public JsonConfig? Object(string name) => !TryGet(name, out JsonElement value)
        ? null
        : value.ValueKind == JsonValueKind.Object ? new JsonConfig(value, $"{Path}: {name}") : throw Wrong(name, "an object");

    /// <summary>An integer between <paramref name="low"/> and <paramref name="high"/>.</summary>
    public int Int(string name, int? fallback = null, int low = 1, int high = int.MaxValue)
    {
        if (!TryGet(name, out JsonElement value)) return fallback ?? throw Missing(name);
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number >= low && number <= high
            ? number
            : throw Wrong(name, high == int.MaxValue ? $"an integer of at least {low}" : $"an integer from {low} to {high}");
    }

    /// <summary>A positive number of at most <paramref name="high"/>.</summary>
    public double Positive(string name, double? fallback = null, double high = double.MaxValue)
    {
        if (!TryGet(name, out JsonElement value)) return fallback ?? throw Missing(name);
        return value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && number > 0 && number <= high
            ? number
            : throw Wrong(name, high == double.MaxValue ? "a positive number" : FormattableString.Invariant($"a positive number of at most {high}"));
    }

    /// <summary>true or false.</summary>
    public bool Bool(string name, bool fallback) => !TryGet(name, out JsonElement value) ? fallback : value.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw Wrong(name, "true or false"),
    };

    /// <summary>A string, or null when the field is missing or null.</summary>
    public string? Text(string name) => !TryGet(name, out JsonElement value)
        ? null
        : value.ValueKind == JsonValueKind.String ? value.GetString() : throw Wrong(name, "a string");

    /// <summary>A list of integers, or a single integer as a list of one; empty when missing.</summary>
    public int[] Ints(string name)
    {
        if (!TryGet(name, out JsonElement value)) return [];
        JsonElement[] items = value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray()] : [value];
        var numbers = new int[items.Length];
        for (int i = 0; i < items.Length; i++)
        {
            if (items[i].ValueKind != JsonValueKind.Number || !items[i].TryGetInt32(out numbers[i])) throw Wrong(name, "an integer or a list of integers");
        }

        return numbers;
    }

    /// <summary>A list of pairs of positive integers, or null when missing.</summary>
    public (int First, int Second)[]? Pairs(string name)
    {
        if (!TryGet(name, out JsonElement value)) return null;
        if (value.ValueKind != JsonValueKind.Array) throw Wrong(name, "a list of pairs of integers");
        var pairs = new List<(int First, int Second)>();
        foreach (JsonElement item in value.EnumerateArray())
        {
            if (item.ValueKind != JsonValueKind.Array || item.GetArrayLength() != 2
                || item[0].ValueKind != JsonValueKind.Number || !item[0].TryGetInt32(out int first) || first <= 0
                || item[1].ValueKind != JsonValueKind.Number || !item[1].TryGetInt32(out int second) || second <= 0)
                throw Wrong(name, "a list of pairs of positive integers");
            pairs.Add((first, second));
        }

        return [.. pairs];
    }

    private bool TryGet(string name, out JsonElement value) =>
        _object.TryGetProperty(name, out value) && value.ValueKind != JsonValueKind.Null;

    /// <summary>JSON allows escapes of half a character (\ud800), which the document would only trip over when the text is read.</summary>
    private static void CheckText(ReadOnlySpan<byte> utf8, string path)
    {
        var reader = new Utf8JsonReader(utf8);
        try
        {
            while (reader.Read())
            {
                if (reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName && reader.ValueIsEscaped) reader.GetString();
            }
        }
        catch (InvalidOperationException e)
        {
            throw new CheckpointException($"{path}: is not valid JSON (half a character at byte {reader.TokenStartIndex}): the file is damaged", e);
        }
    }

    private CheckpointException Missing(string name) => new($"{Path}: '{name}' is missing");

    private CheckpointException Wrong(string name, string expected) => new($"{Path}: '{name}' must be {expected}");
}
