using System.Globalization;
using System.Text.Json;
using LlavaSp.Cli.Output;

namespace LlavaSp.Cli.Bench.Kernels;

/// <summary>A column of figures: for the console, for the document and for JSON.</summary>
/// <typeparam name="T">Result of a case.</typeparam>
/// <param name="Header">Title.</param>
/// <param name="Text">A cell.</param>
/// <param name="WriteJson">Writes its fields.</param>
internal sealed record KernelColumn<T>(string Header, Func<T, string> Text, Action<Utf8JsonWriter, T> WriteJson)
{
    /// <summary>A column of one number; NaN is shown as a dash.</summary>
    public static KernelColumn<T> Number(string header, string field, string format, Func<T, double> value, double unit = 1) => new(
        header, result => Cell(value(result) / unit, format), (json, result) => json.Number(field, value(result)));

    /// <summary>A column with a number for each card, in their order.</summary>
    public static KernelColumn<T> Cards(string header, string field, string format, Func<T, Card, double> value, double unit = 1) => new(
        header,
        result => string.Join(" / ", Card.All.Select(card => Cell(value(result, card) / unit, format))),
        (json, result) => json.Object(field, () =>
        {
            foreach (Card card in Card.All) json.Number(card.Name, value(result, card));
        }));

    /// <summary>A number, or a dash for NaN.</summary>
    public static string Cell(double value, string format)
    {
        if (double.IsNaN(value)) return "-";
        return format == "" ? Digits(value) : value.ToString(format, CultureInfo.InvariantCulture);
    }

    /// <summary>Three digits that count.</summary>
    private static string Digits(double value)
    {
        if (value == 0) return "0";
        int decimals = Math.Clamp(2 - (int)Math.Floor(Math.Log10(Math.Abs(value))), 0, 3);
        return value.ToString($"f{decimals}", CultureInfo.InvariantCulture);
    }
}
