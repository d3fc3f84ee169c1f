namespace LlavaSp.Peers.Report;

/// <summary>How a figure is shown and which end of it is better.</summary>
internal enum Unit
{
    Seconds,
    TokensPerSecond,
    Bytes,
    Share,
}

/// <summary>A peer's value that stands in a row.</summary>
/// <param name="Source">Id of the source.</param>
/// <param name="Value">The value; null where it was not measured.</param>
/// <param name="Note">What is particular about it.</param>
internal sealed record Rival(string Source, Spread? Value, string Note = "");

/// <summary>What LlavaSp is held to.</summary>
/// <param name="Value">The bar, in the unit of its row.</param>
/// <param name="Share">The share of the ceiling that it was on the machine for which it was set; null where it has no ceiling.</param>
internal sealed record Target(double Value, double? Share = null)
{
    /// <summary>A rate, and the highest that machine could reach.</summary>
    public static Target AtLeast(double rate, double ceiling) => new(rate, rate / ceiling);

    /// <summary>A time, and the shortest that machine could reach.</summary>
    public static Target AtMost(double seconds, double ceiling) => new(seconds, ceiling / seconds);
}

/// <summary>One row of the comparison.</summary>
/// <param name="Title">What was measured.</param>
/// <param name="Unit">Unit.</param>
/// <param name="Bar">What LlavaSp is held to; null for no bar.</param>
/// <param name="Ours">LlavaSp's value.</param>
/// <param name="Share">Share of a ceiling, and which one; null where there is none.</param>
/// <param name="Rivals">Peers.</param>
internal sealed record Row(string Title, Unit Unit, Target? Bar, Spread? Ours, (Spread Value, string Ceiling)? Share, IReadOnlyList<Rival> Rivals)
{
    /// <summary>Whether more is better.</summary>
    public bool MoreIsBetter => Unit is Unit.TokensPerSecond or Unit.Share;

    /// <summary>The best peer that was measured.</summary>
    public Rival? Best => MoreIsBetter
        ? Rivals.Where(rival => rival.Value is not null).MaxBy(rival => rival.Value!.Median)
        : Rivals.Where(rival => rival.Value is not null).MinBy(rival => rival.Value!.Median);

    /// <summary>How many times better LlavaSp is than a value.</summary>
    public double Against(Spread other) => MoreIsBetter ? Ours!.Median / other.Median : other.Median / Ours!.Median;

    /// <summary>Whether LlavaSp reaches the bar; null where one of them is missing.</summary>
    public bool? Reached => Ours is null || Bar is not { Value: var bar } ? null : MoreIsBetter ? Ours.Median >= bar : Ours.Median <= bar;

    /// <summary>Whether it reaches the bar's share of the ceiling, which is the bar on a machine of another speed.</summary>
    public bool? SharesReached => Share is { Value: var share } && Bar?.Share is { } bar ? share.Median >= bar : null;
}

/// <summary>The rows, out of what was measured.</summary>
internal static class Rows
{
    private const string Int4 = "llava-sp-int4", Int8 = "llava-sp-int8", F32 = "llava-sp-f32", Peak = "of the int8 peak", Read = "of the read bandwidth";

    private static readonly string[] FourBit = ["llama-4bit", "onnx-4bit"], EightBit = ["llama-8bit", "onnx-8bit"];

    public static IReadOnlyList<Row> Of(Results results)
    {
        Row Take(string title, Unit unit, Target bar, string source, string metric, string? share, string ceiling, IEnumerable<string> rivals) => new(
            title, unit, bar, results.Of(source, metric), share is not null && results.Of(source, metric + share) is { } value ? (value, ceiling) : null,
            [.. rivals.Select(id => new Rival(id, results.Of(id, metric)))]);

        string prompt = $"{Shapes.Prompt} tokens";
        string[] exact = ["torch-vision", "onnx-vision-f32", "llama-vision"];
        return
        [
            Take("picture: vision tower, projector, six tokens; int8", Unit.Seconds, Target.AtMost(0.70, 0.30), Int8, Metric.Vision, Metric.ShareOfPeak, Peak, ["onnx-vision-int8"]),
            Take("the same, float32", Unit.Seconds, Target.AtMost(1.6, 1.1), F32, Metric.Vision, Metric.ShareOfPeak, "of the float32 peak", exact),
            Take($"prefill, {prompt}, 4-bit", Unit.TokensPerSecond, Target.AtLeast(50, 84), Int4, Metric.Prefill, Metric.ShareOfPeak, Peak, FourBit),
            Take($"prefill, {prompt}, 8-bit", Unit.TokensPerSecond, Target.AtLeast(58, 84), Int8, Metric.Prefill, Metric.ShareOfPeak, Peak, EightBit),
            Take("decode, empty cache, 4-bit", Unit.TokensPerSecond, Target.AtLeast(5.3, 6.6), Int4, Metric.DecodeEmpty, Metric.ShareOfRead, Read, FourBit),
            Take($"decode, {prompt} cached, 4-bit", Unit.TokensPerSecond, Target.AtLeast(4.8, 6.6), Int4, Metric.DecodeCached, Metric.ShareOfRead, Read, FourBit),
            Take("decode, empty cache, 8-bit", Unit.TokensPerSecond, Target.AtLeast(3.2, 3.6), Int8, Metric.DecodeEmpty, Metric.ShareOfRead, Read, EightBit),
            Take($"decode, {prompt} cached, 8-bit", Unit.TokensPerSecond, Target.AtLeast(3.2, 3.6), Int8, Metric.DecodeCached, Metric.ShareOfRead, Read, EightBit),
            new(
                $"picture and question, {prompt}, to the first token, 4-bit", Unit.Seconds, Target.AtMost(13.5, 8), results.Of(Int4, Metric.FirstToken),
                results.Of(Int4, Metric.FirstToken + Metric.ShareOfPeak) is { } first ? (first, Peak) : null,
                [
                    FirstToken(results, "llama-4bit", "llama-vision"), FirstToken(results, "onnx-4bit", "onnx-vision-int8"),
                    FirstToken(results, "onnx-8bit", "onnx-vision-int8"),
                ]),
            new(
                "peak resident memory, 4-bit", Unit.Bytes, results.Of(Int4, Metric.ModelBytes) is { } bytes ? new Target(bytes.Median * 1.1) : null, results.Of(Int4, Metric.PeakMemory), null,
                [new Rival("llama-4bit", results.Of("llama-4bit", Metric.PeakMemory), "decoder only, file mapped and repacked")]),
            Take("spatial tokens, share of the read bandwidth, 8-bit", Unit.Share, new Target(0.75), Int8, Metric.SpatialTokens + Metric.ShareOfRead, null, "", []),
            Take("decode, empty cache, 4-bit, share of the read bandwidth", Unit.Share, new Target(0.80), Int4, Metric.DecodeEmpty + Metric.ShareOfRead, null, "", []),
            Take("load of an own 4-bit checkpoint in the page cache", Unit.Seconds, new Target(2), Int4, Metric.Load, null, "", []),
        ];
    }

    /// <summary>Peers are not measured from picture to token in one go: the sum of their own two stages.</summary>
    private static Rival FirstToken(Results results, string text, string vision)
    {
        const string Note = "picture + prefill";
        if (results.Of(text, Metric.Prefill) is not { } prefill || results.Of(vision, Metric.Vision) is not { } picture) return new Rival(text, null, Note);
        static double Sum(double seconds, double speed) => seconds + Shapes.Prompt / speed;
        return new Rival(text, new Spread(Sum(picture.Median, prefill.Median), Sum(picture.Min, prefill.Max), Sum(picture.Max, prefill.Min)), Note);
    }
}
