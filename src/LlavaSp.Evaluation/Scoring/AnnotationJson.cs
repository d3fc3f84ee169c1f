using System.Text.Json.Serialization;
using LlavaSp.Evaluation.Benchmarks;

namespace LlavaSp.Evaluation.Scoring;

/// <summary>What people answered.</summary>
internal sealed record PersonAnswer([property: JsonPropertyName("answer")] string Answer);

/// <summary>VQAv2's annotation file.</summary>
internal sealed record VqaV2Annotations([property: JsonPropertyName("annotations")] IReadOnlyList<VqaV2Annotation> Annotations);

internal sealed record VqaV2Annotation(
    [property: JsonPropertyName("question_id")] QuestionId Id,
    [property: JsonPropertyName("answers")] IReadOnlyList<PersonAnswer> Answers,
    [property: JsonPropertyName("question_type")] string QuestionType,
    [property: JsonPropertyName("answer_type")] string AnswerType);

/// <summary>VizWiz's annotation file is a list of these.</summary>
internal sealed record VizWizAnnotation(
    [property: JsonPropertyName("image")] string Image,
    [property: JsonPropertyName("answers")] IReadOnlyList<PersonAnswer> Answers,
    [property: JsonPropertyName("answer_type")] string AnswerType);

/// <summary>TextVQA's annotation file.</summary>
internal sealed record TextVqaAnnotations([property: JsonPropertyName("data")] IReadOnlyList<TextVqaAnnotation> Data);

internal sealed record TextVqaAnnotation(
    [property: JsonPropertyName("image_id")] QuestionId ImageId,
    [property: JsonPropertyName("question")] string Question,
    [property: JsonPropertyName("answers")] IReadOnlyList<string> Answers);

/// <summary>GQA's question files map ids to these.</summary>
internal sealed record GqaQuestion(
    [property: JsonPropertyName("answer")] string Answer,
    [property: JsonPropertyName("isBalanced")] bool IsBalanced,
    [property: JsonPropertyName("types")] GqaTypes Types);

internal sealed record GqaTypes([property: JsonPropertyName("structural")] string Structural);

/// <summary>ScienceQA's problems.json maps ids to these.</summary>
internal sealed record ScienceQaProblem(
    [property: JsonPropertyName("choices")] IReadOnlyList<string> Choices,
    [property: JsonPropertyName("answer")] int Answer,
    [property: JsonPropertyName("image")] string? Image = null,
    [property: JsonPropertyName("subject")] string? Subject = null);

/// <summary>SEED-Bench's annotation file.</summary>
internal sealed record SeedAnnotations(
    [property: JsonPropertyName("questions")] IReadOnlyList<SeedQuestion> Questions,
    [property: JsonPropertyName("question_type")] IReadOnlyDictionary<string, int> QuestionTypes);

internal sealed record SeedQuestion(
    [property: JsonPropertyName("question_id")] QuestionId Id,
    [property: JsonPropertyName("question_type_id")] int Type,
    [property: JsonPropertyName("answer")] string Answer,
    [property: JsonPropertyName("data_type")] string? DataType = null);

/// <summary>How annotations are read: generated, and a missing field is an error instead of a null that surfaces later.</summary>
[JsonSourceGenerationOptions(RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(VqaV2Annotations))]
[JsonSerializable(typeof(List<VizWizAnnotation>))]
[JsonSerializable(typeof(TextVqaAnnotations))]
[JsonSerializable(typeof(Dictionary<string, GqaQuestion>))]
[JsonSerializable(typeof(Dictionary<string, ScienceQaProblem>))]
[JsonSerializable(typeof(Dictionary<string, List<string>>))]
[JsonSerializable(typeof(SeedAnnotations))]
internal sealed partial class AnnotationJson : JsonSerializerContext;
