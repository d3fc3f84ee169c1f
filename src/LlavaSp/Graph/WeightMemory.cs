using System.Globalization;
using LlavaSp.Checkpoints;
using LlavaSp.Quantization;

namespace LlavaSp.Graph;

/// <summary>What the weights of a model take in each format: advice for those whose device is too small.</summary>
internal static class WeightMemory
{
    // The rest is for activations, the key-value cache and the driver itself.
    private const double ShareOfDevice = 0.9;

    /// <summary>Bytes of all weights under a plan; what a device adds for its own order is left out.</summary>
    public static long Bytes(ModelCheckpoint checkpoint, WeightPlan plan) => ModelLayout.Of(checkpoint)
        .Where(tensor => tensor.Need == TensorNeed.Required || (tensor.Need != TensorNeed.Unread && checkpoint.Catalog.Has(tensor.Name)))
        .Sum(tensor => tensor.Rows * (plan.FormatOf(tensor.Role) ?? WeightFormat.F32).RowBytes(tensor.Columns));

    /// <summary>What would fit: <c>all weights take 14.1 GB as f16, 7.5 GB as int8, 4.3 GB as int4, the device has 8.0 GB: --weights int4 fits</c>.</summary>
    public static string Advice(ModelCheckpoint checkpoint, long deviceBytes)
    {
        (string Name, long Bytes)[] sizes =
        [
            .. new[] { WeightFormat.F16, WeightFormat.Int8(), WeightFormat.Int4() }.Select(format =>
                (format.Kind.ToString().ToLowerInvariant(), Bytes(checkpoint, WeightPlan.For(format)))),
        ];
        string? best = sizes.FirstOrDefault(size => size.Bytes <= deviceBytes * ShareOfDevice).Name;
        string advice = best is null ? "use a larger device, or --device cpu" : $"--weights {best} fits";
        return $"all weights take {string.Join(", ", sizes.Select(size => $"{Text(size.Bytes)} as {size.Name}"))}, the device has {Text(deviceBytes)}: {advice}";
    }

    private static string Text(long bytes) => bytes >= 100_000_000
        ? string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e9:f1} GB")
        : string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e6:f2} MB");
}
