using System.Text.Json.Serialization;

namespace LlavaSp.Evaluation.Benchmarks;

/// <summary>A line of a question file, as it comes: every field may be missing.</summary>
internal sealed class QuestionLine
{
    [JsonPropertyName("question_id")]
    public QuestionId? Id { get; set; }

    [JsonPropertyName("image")]
    public string? Image { get; set; }

    [JsonPropertyName("text")]
    public string? Text { get; set; }

    [JsonPropertyName("category")]
    public string? Category { get; set; }

    /// <summary>POPE's own files have the right answer beside the question.</summary>
    [JsonPropertyName("label")]
    public string? Label { get; set; }
}

/// <summary>A line of an answer file, as it comes.</summary>
internal sealed class AnswerLine
{
    [JsonPropertyName("question_id")]
    public QuestionId? Id { get; set; }

    [JsonPropertyName("prompt")]
    public string? Prompt { get; set; }

    [JsonPropertyName("text")]
    public string? Text { get; set; }

    [JsonPropertyName("answer_id")]
    public string? AnswerId { get; set; }

    [JsonPropertyName("model_id")]
    public string? ModelId { get; set; }
}

/// <summary>A question of ScienceQA as upstream converts it.</summary>
internal sealed record Conversation(
    [property: JsonPropertyName("id")] QuestionId Id,
    [property: JsonPropertyName("conversations")] IReadOnlyList<ConversationTurn> Turns,
    [property: JsonPropertyName("image")] string? Image = null);

internal sealed record ConversationTurn([property: JsonPropertyName("value")] string Text);

/// <summary>How these files are read: generated, so that the tool needs no reflection.</summary>
[JsonSourceGenerationOptions(RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(List<Conversation>))]
[JsonSerializable(typeof(QuestionLine))]
[JsonSerializable(typeof(AnswerLine))]
internal sealed partial class BenchmarkJson : JsonSerializerContext;
