using System.Text;

namespace LlavaSp.Evaluation.Worlds.Report;

/// <summary>Times to first token, the variants side by side.</summary>
internal static class LatencySection
{
    public static void Write(StringBuilder text, IReadOnlyList<LatencyStudy> studies)
    {
        text.Append("""
            ## Time to first token

            The variants take turns in every round, after one round to warm up; medians in milliseconds. The ratio is to the model without spatial tokens, its interval over rounds.
            It is what the paper calls nearly identical.


            """);
        foreach (LatencyStudy study in studies) Write(text, study);
    }

    private static void Write(StringBuilder text, LatencyStudy study)
    {
        text.Append(ReportText.Text($"**{study.Shape}**, weights {study.Weights}, {study.Rounds} rounds.\n\n"));
        text.Table(
            ["variant", "first token", "ratio", "vision", "spatial tokens", "projector", "prefill"],
            study.Variants.Select(variant => (string[])
            [
                variant.Variant, Median(variant, static token => token.Total),
                study.RatioOf(variant) is { } ratio ? ReportText.Ratio(ratio) : "",
                Median(variant, static token => token.Vision), Median(variant, static token => token.SpatialTokens),
                Median(variant, static token => token.Projector), Median(variant, static token => token.Prefill),
            ]));
    }

    private static string Median(VariantLatency variant, Func<FirstToken, double> part) => ReportText.Milliseconds(variant.Median(part));
}
