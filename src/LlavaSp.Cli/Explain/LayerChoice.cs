using System.Globalization;

namespace LlavaSp.Cli.Explain;

/// <summary>Which decoder layers' attention is shown.</summary>
/// <param name="Number">One layer, from 1; null for others.</param>
/// <param name="IsAll">Each layer by itself; else, without a number, their mean.</param>
internal sealed record LayerChoice(int? Number, bool IsAll)
{
    /// <summary>The mean of all.</summary>
    public static LayerChoice Mean { get; } = new(null, false);

    /// <exception cref="LlavaSpException">It is none.</exception>
    public static LayerChoice Parse(string text) => text switch
    {
        "mean" => Mean,
        "all" => new LayerChoice(null, true),
        _ when int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number > 0 => new LayerChoice(number, false),
        _ => throw new LlavaSpException($"'{text}' is no choice of layers: use mean, all, or a number from 1"),
    };

    /// <summary>Layers from 0 in the order in which they are shown; null is the mean.</summary>
    /// <exception cref="LlavaSpException">The model does not have that layer.</exception>
    public IReadOnlyList<int?> Of(int layers)
    {
        if (IsAll) return [.. Enumerable.Range(0, layers).Select(layer => (int?)layer)];
        if (Number > layers) throw new LlavaSpException($"--layers {Number}: the model has {layers} decoder layers");
        return [Number - 1];
    }

    /// <summary>What a layer is called.</summary>
    public static string Name(int? layer) => layer is { } index ? $"layer {index + 1}" : "mean of layers";
}
