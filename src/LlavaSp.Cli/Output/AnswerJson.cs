using System.Text.Json;
using LlavaSp.Cli.Running;
using LlavaSp.Generation;

namespace LlavaSp.Cli.Output;

/// <summary>An answer, and the model that gave it, as JSON.</summary>
internal static class AnswerJson
{
    /// <summary>
    /// The answer itself. In <c>milliseconds</c>, <c>first_token</c> counts from the pictures' bytes to the first token, the loading of the model left
    /// out; <c>total</c> is the command's wall time, or the answer's where there are several.
    /// </summary>
    public static void WriteAnswer(Utf8JsonWriter json, LoadedModel model, GenerationResult result, double totalMilliseconds, double? loadMilliseconds)
    {
        json.WriteString("text", result.Text);
        json.WriteStartArray("token_ids");
        foreach (int id in result.Ids) json.WriteNumberValue(id);
        json.WriteEndArray();
        json.WriteNumber("prompt_tokens", result.PromptLength);
        json.WriteNumber("reused_tokens", result.ReusedLength);
        json.WriteString("finish_reason", result.FinishReason switch
        {
            FinishReason.End => "end",
            FinishReason.StopString => "stop_string",
            FinishReason.Length => "length",
            _ => "context",
        });
        json.WriteNumber("seed", result.Seed);
        json.Object("milliseconds", () =>
        {
            if (loadMilliseconds is { } load) json.Number("load", load);
            json.Number("preprocess", result.Times[Stage.Preprocess]);
            json.Number("vision", result.Times[Stage.Vision]);
            json.Number("spatial_tokens", result.Times[Stage.SpatialTokens]);
            json.Number("projector", result.Times[Stage.Projector]);
            json.Number("prefill", result.Times[Stage.Prefill]);
            json.Number("first_token", result.Times[Stage.Preprocess] + result.FirstTokenMilliseconds);
            json.Number("decode", result.Times[Stage.Decode]);
            json.Number("total", totalMilliseconds);
        });
        json.Object("tokens_per_second", () =>
        {
            json.Number("prefill", result.PrefillTokensPerSecond);
            json.Number("decode", result.DecodeTokensPerSecond);
        });
        if (model.Settings.Generation.Sampling.TopLogProbs is not null) WriteLogProbabilities(json, model, result);
    }

    /// <summary>Device, formats, template, memory.</summary>
    public static void WriteModel(Utf8JsonWriter json, LoadedModel model)
    {
        LlavaSpModel loaded = model.Model;
        json.WriteString("model", loaded.Checkpoint.Location.Model);
        if (model.Settings.IsEmbedded) json.WriteString("embedded", EmbeddedModel.Limits);
        DeviceJson.Write(json, loaded);
        json.WriteString("template", model.Settings.Template.Template.Name);
        json.WriteString("template_reason", model.Settings.Template.Reason);
        json.WriteString("variant", loaded.Checkpoint.Spatial.Variant);
        json.WriteNumber("weight_bytes", loaded.WeightBytes);
        json.WriteNumber("peak_memory_bytes", PeakMemory.Bytes());
        if (loaded.PeakDeviceBytes > 0) json.WriteNumber("peak_device_memory_bytes", loaded.PeakDeviceBytes);
    }

    private static void WriteLogProbabilities(Utf8JsonWriter json, LoadedModel model, GenerationResult result)
    {
        json.WriteStartArray("logprobs");
        foreach (GeneratedToken token in result.Tokens)
        {
            json.WriteStartObject();
            Token(token.Id, token.LogProbability);
            json.WriteStartArray("top");
            foreach (TokenLogProbability top in token.TopLogProbabilities)
            {
                json.WriteStartObject();
                Token(top.Id, top.LogProbability);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();

        void Token(int id, float logProbability)
        {
            json.WriteNumber("id", id);
            // A padded embedding table has more rows than the tokenizer has pieces.
            if (id < model.Model.Tokenizer.VocabularySize) json.WriteString("token", model.Model.Tokenizer.TokenText(id));
            else json.WriteNull("token");
            if (float.IsFinite(logProbability)) json.WriteNumber("logprob", logProbability);
            else json.WriteNull("logprob");
        }
    }
}
