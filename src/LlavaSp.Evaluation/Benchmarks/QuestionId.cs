using System.Buffers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace LlavaSp.Evaluation.Benchmarks;

/// <summary>
/// A question's id: a number in some benchmarks, a text in others. It is written as it was read, but a number and its digits as a text are the same id,
/// since question and annotation files of one benchmark disagree.
/// </summary>
/// <param name="Text">The text, or the number's digits.</param>
/// <param name="IsNumber">Whether it is written as a number.</param>
[JsonConverter(typeof(Converter))]
public readonly record struct QuestionId(string Text, bool IsNumber = false)
{
    /// <inheritdoc/>
    public bool Equals(QuestionId other) => Text == other.Text;

    /// <inheritdoc/>
    public override int GetHashCode() => Text.GetHashCode(StringComparison.Ordinal);

    /// <inheritdoc/>
    public override string ToString() => Text;

    /// <summary>Writes it as it was read.</summary>
    internal void Write(Utf8JsonWriter json)
    {
        if (IsNumber) json.WriteRawValue(Text);
        else json.WriteStringValue(Text);
    }

    internal sealed class Converter : JsonConverter<QuestionId>
    {
        public override QuestionId Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.TokenType switch
        {
            JsonTokenType.String => new QuestionId(reader.GetString()!),
            JsonTokenType.Number => new QuestionId(
                Encoding.ASCII.GetString(reader.HasValueSequence ? reader.ValueSequence.ToArray() : reader.ValueSpan), IsNumber: true),
            _ => throw new JsonException(),
        };

        public override void Write(Utf8JsonWriter writer, QuestionId value, JsonSerializerOptions options) => value.Write(writer);
    }
}
