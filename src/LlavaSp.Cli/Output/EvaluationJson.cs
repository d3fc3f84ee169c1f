using System.Text.Json;
using LlavaSp.Evaluation.Worlds;
using LlavaSp.Evaluation.Worlds.Report;
using LlavaSp.Worlds.Questions;

namespace LlavaSp.Cli.Output;

/// <summary>The evaluation of the demo models as one JSON object. Accuracies are shares from 0 to 1.</summary>
internal static class EvaluationJson
{
    private const int Digits = 6;

    /// <summary>Writes it.</summary>
    public static void Write(WorldEvaluation evaluation) => JsonOutput.Write(json =>
    {
        SceneScores scores = evaluation.Runs[0].Scores;
        json.WriteString("command", evaluation.Setting.Command);
        json.WriteString("device", evaluation.Setting.Device);
        json.WriteNumber("scenes", scores.Scenes);
        json.WriteNumber("questions", scores.Questions);
        json.Object("questions_by_family", () =>
        {
            foreach (QuestionFamily family in evaluation.Families) json.WriteNumber(ReportText.Name(family), scores.QuestionsOf(family));
        });
        json.WriteString("base_format", evaluation.BaseFormat);
        json.WriteNumber("bootstrap_samples", Bootstrap.Samples);
        Array(json, "bars", evaluation.Bars, bar => WriteBar(json, bar));
        Array(json, "runs", evaluation.Runs, run => WriteRun(json, run));
        Array(json, "variants_less_none", evaluation.VariantDifferences, difference =>
        {
            json.WriteString("variant", difference.Variant);
            Write(json, "mean", difference.Mean);
            json.Object("families", () => WriteFamilies(json, difference.Families));
        });
        Array(json, "held_out_less_others", evaluation.HeldOut, difference => WriteHeldOut(json, difference));
        Array(json, "formats_less_base", evaluation.FormatDifferences, difference =>
        {
            WriteName(json, difference.Run);
            Write(json, "mean", difference.Mean);
            Share(json, "identical_answers", difference.Identical);
        });
        Array(json, "devices", evaluation.DeviceDifferences, difference => WriteDevice(json, difference));
        Array(json, "first_token", evaluation.Latencies, study => WriteLatency(json, study));
    });

    private static void WriteBar(Utf8JsonWriter json, EvaluationBar bar)
    {
        json.WriteString("name", bar.Name);
        json.WriteString("unit", bar.Unit.ToString().ToLowerInvariant());
        Share(json, bar.AtLeast ? "at_least" : "at_most", bar.Target);
        Share(json, "measured", bar.Measured ?? double.NaN);
        json.WriteString("of", bar.Of);
        if (bar.IsMet is { } met) json.WriteBoolean("met", met);
        else json.WriteNull("met");
    }

    private static void WriteRun(Utf8JsonWriter json, WorldRun run)
    {
        WriteName(json, run);
        Write(json, "mean", run.Mean);
        Write(json, "all_questions", run.AllQuestions);
        json.Object("families", () => WriteFamilies(json, run.Families));
    }

    private static void WriteHeldOut(Utf8JsonWriter json, HeldOutDifference difference)
    {
        json.WriteString("variant", difference.Run.Variant);
        json.Texts("families", difference.Families.Select(ReportText.Name));
        json.WriteNumber("held_out_questions", difference.HeldOut.Questions);
        json.WriteNumber("other_questions", difference.Others.Questions);
        Write(json, "held_out", difference.HeldOut.Mean(difference.Families));
        Write(json, "others", difference.Others.Mean(difference.Families));
        Write(json, "mean", difference.Difference);
    }

    private static void WriteDevice(Utf8JsonWriter json, DeviceDifference difference)
    {
        json.WriteString("device", difference.Run.Device);
        WriteRun(json, difference.Run);
        json.WriteNumber("scenes", difference.Run.Scores.Scenes);
        json.WriteString("first_device", difference.First.Device);
        Write(json, "first_device_mean", difference.First.Mean);
        Write(json, "difference", difference.Mean);
        Share(json, "identical_answers", difference.Identical);
        if (difference.IdenticalToBase is { } identical) Share(json, "identical_to_base_format", identical);
    }

    private static void WriteLatency(Utf8JsonWriter json, LatencyStudy study)
    {
        json.WriteString("shape", study.Shape);
        json.WriteString("weights", study.Weights);
        json.WriteNumber("rounds", study.Rounds);
        Array(json, "variants", study.Variants, variant =>
        {
            json.WriteString("variant", variant.Variant);
            json.Number("milliseconds", variant.Median(static token => token.Total));
            json.Number("vision", variant.Median(static token => token.Vision));
            json.Number("spatial_tokens", variant.Median(static token => token.SpatialTokens));
            json.Number("projector", variant.Median(static token => token.Projector));
            json.Number("prefill", variant.Median(static token => token.Prefill));
            if (study.RatioOf(variant) is { } ratio) Write(json, "over_none", ratio);
        });
    }

    private static void WriteName(Utf8JsonWriter json, WorldRun run)
    {
        json.WriteString("variant", run.Variant);
        json.WriteString("format", run.Format);
    }

    private static void WriteFamilies(Utf8JsonWriter json, IReadOnlyDictionary<QuestionFamily, Interval> families)
    {
        foreach (var (family, interval) in families) Write(json, ReportText.Name(family), interval);
    }

    private static void Write(Utf8JsonWriter json, string name, Interval interval) => json.Object(name, () =>
    {
        Share(json, "value", interval.Value);
        Share(json, "low", interval.Low);
        Share(json, "high", interval.High);
    });

    private static void Share(Utf8JsonWriter json, string name, double value)
    {
        if (double.IsFinite(value)) json.WriteNumber(name, Math.Round(value, Digits));
        else json.WriteNull(name);
    }

    private static void Array<T>(Utf8JsonWriter json, string name, IEnumerable<T> items, Action<T> write)
    {
        json.WriteStartArray(name);
        foreach (T item in items)
        {
            json.WriteStartObject();
            write(item);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}
