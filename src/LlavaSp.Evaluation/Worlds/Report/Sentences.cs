using LlavaSp.Worlds.Questions;

namespace LlavaSp.Evaluation.Worlds.Report;

/// <summary>What differences say in words, by one rule: an interval that has 0 in it shows nothing.</summary>
public static class Sentences
{
    /// <summary>What the spatial tokens of a variant change, over all families and in single ones.</summary>
    public static string Of(VariantDifference difference, int scenes)
    {
        ArgumentNullException.ThrowIfNull(difference);
        string name = $"{char.ToUpperInvariant(difference.Variant[0])}{difference.Variant[1..]}";
        string mean = difference.Mean switch
        {
            var interval when interval.IsAbove(0) => $"helps by {Size(interval)} over all families",
            var interval when interval.IsBelow(0) => $"costs {Size(interval)} over all families",
            _ => ReportText.Text($"makes no difference over all families that {scenes} scenes can show"),
        };
        return $"{name} {mean}. By family, {Families(difference, "it helps", above: true)}; {Families(difference, "it costs", above: false)}.";
    }

    private static string Families(VariantDifference difference, string verb, bool above)
    {
        string[] names = [.. difference.Families.Where(family => above ? family.Value.IsAbove(0) : family.Value.IsBelow(0)).Select(static family => Named(family))];
        return names.Length == 0 ? $"{verb} in none that can be shown" : $"{verb} in {string.Join(", ", names)}";
    }

    private static string Named(KeyValuePair<QuestionFamily, Interval> family) => $"{ReportText.Name(family.Key)} ({ReportText.Points(family.Value.Value)})";

    private static string Size(Interval interval)
    {
        (double low, double high) = interval.Value < 0 ? (-interval.High, -interval.Low) : (interval.Low, interval.High);
        return ReportText.Text($"{100 * Math.Abs(interval.Value):f2} points ({100 * low:f2} to {100 * high:f2})");
    }
}
