using System.Globalization;
using System.Text;
using LlavaSp.Worlds.Questions;

namespace LlavaSp.Evaluation.Worlds.Report;

/// <summary>Numbers and tables as the report writes them, the same on every machine.</summary>
public static class ReportText
{
    private const string Nothing = "-";

    /// <summary>A share in per cent with one decimal: <c>93.4</c>.</summary>
    public static string Percent(double share) => Finite(share, $"{Rounded(100 * share, 1):f1}");

    /// <summary>A share in per cent with its interval: <c>93.4 (92.1 to 94.6)</c>.</summary>
    public static string Percent(Interval share) =>
        Finite(share.Value, $"{Percent(share.Value)} ({Percent(share.Low)} to {Percent(share.High)})");

    /// <summary>A difference of shares in points, with sign: <c>+1.25</c>.</summary>
    public static string Points(double difference) => Finite(difference, $"{Rounded(100 * difference, 2):+0.00;-0.00;0.00}");

    /// <summary>A difference of shares in points with its interval.</summary>
    public static string Points(Interval difference) =>
        Finite(difference.Value, $"{Points(difference.Value)} ({Points(difference.Low)} to {Points(difference.High)})");

    /// <summary>A ratio with its interval: <c>1.013 (1.010 to 1.018)</c>.</summary>
    public static string Ratio(Interval ratio) => Finite(ratio.Value, $"{ratio.Value:f3} ({ratio.Low:f3} to {ratio.High:f3})");

    /// <summary>Milliseconds, finer where they are few.</summary>
    public static string Milliseconds(double value) => value < 100 ? Text($"{value:f2}") : Text($"{value:f0}");

    /// <summary>A bar's target and measured number.</summary>
    public static (string Target, string Measured, string Verdict) Bar(EvaluationBar bar)
    {
        ArgumentNullException.ThrowIfNull(bar);
        string measured = bar.Measured is { } value ? $"{Value(value)}{(bar.Of.Length > 0 ? $" ({bar.Of})" : "")}" : "not measured";
        return ($"{(bar.AtLeast ? "at least" : "at most")} {Value(bar.Target)}", measured, bar.IsMet switch { true => "met", false => "missed", null => Nothing });

        string Value(double number) => bar.Unit switch
        {
            BarUnit.Share => $"{Percent(number)} %",
            BarUnit.Points => Text($"{Rounded(100 * number, 2):0.00} points"),
            _ => Text($"{number:f3}"),
        };
    }

    /// <summary>A family's name in a sentence or table.</summary>
    public static string Name(QuestionFamily family) => family.ToString().ToLowerInvariant();

    /// <summary>Text in invariant culture.</summary>
    internal static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    /// <summary>A table of Markdown; columns after the first are aligned to the right.</summary>
    internal static void Table(this StringBuilder text, IReadOnlyList<string> header, IEnumerable<IReadOnlyList<string>> rows)
    {
        Row(header);
        text.Append('|').Append("---|").Append(string.Concat(Enumerable.Repeat("---:|", header.Count - 1))).Append('\n');
        foreach (IReadOnlyList<string> row in rows) Row(row);
        text.Append('\n');

        void Row(IReadOnlyList<string> cells) => text.Append("| ").AppendJoin(" | ", cells).Append(" |\n");
    }

    private static string Finite(double value, FormattableString text) => double.IsFinite(value) ? Text(text) : Nothing;

    // Before formatting, so that a minus of nothing is not written, and halves go the same way everywhere.
    private static double Rounded(double value, int digits) => Math.Round(value, digits, MidpointRounding.AwayFromZero) + 0.0;
}
