using System.Globalization;
using System.Text.RegularExpressions;
using LlavaSp.Backends;

namespace LlavaSp.Checkpoints;

/// <summary>
/// The visual spatial tokens of a checkpoint (paper section 3), read from its tensors: upstream's config does not name the variant.
/// </summary>
/// <param name="Mode">Pooling or Cropping; null for LLaVA-1.5/1.6, which has no spatial tokens.</param>
/// <param name="KernelSizes">k of each convolution, ascending: one token each.</param>
/// <param name="Width">Output channels of the convolutions.</param>
/// <param name="FusionKernelSize">k of conv_CM; 0 without detail fusion.</param>
/// <param name="Reason">How the variant was recognised.</param>
public sealed record SpatialConfig(SpatialMode? Mode, int[] KernelSizes, int Width, int FusionKernelSize, string Reason)
{
    /// <summary>Stride of conv_CM: a literal in upstream's llava_arch.py, not to be read from a tensor.</summary>
    public const int FusionStride = 2;

    private const int MaxWidth = 1 << 20;

    /// <summary>Epsilon of the fusion's LayerNorms: torch's default.</summary>
    public const float FusionNormEpsilon = 1e-5f;

    /// <summary>none, pooling or cropping.</summary>
    public string Variant => Mode?.ToString().ToLowerInvariant() ?? "none";

    /// <summary>Spatial tokens of one tile.</summary>
    public int Tokens => KernelSizes.Length;

    /// <summary>Recognises the variant.</summary>
    /// <exception cref="CheckpointException">The convolutions do not form one of the variants, or do not fit the grid.</exception>
    internal static SpatialConfig Detect(TensorCatalog catalog, int grid, int channels)
    {
        var kernels = new SortedDictionary<int, (CatalogEntry Entry, bool Pooled)>();
        foreach (CatalogEntry entry in catalog.Entries.Values)
        {
            Match match = NameMap.SpatialKernel().Match(entry.Name);
            if (!match.Success) continue;
            int k = int.Parse(match.Groups["size"].ValueSpan, CultureInfo.InvariantCulture);
            if (entry.Info.Shape.Length < 2 || entry.Info.Shape[0] is < 1 or > MaxWidth)
                throw new CheckpointException($"{entry.Place} is {entry.Info.ShapeText}, not a convolution's weight");
            if (k < 1 || k > grid) throw new CheckpointException($"{entry.Place} does not fit the grid of {grid} x {grid} patches");
            if (!kernels.TryAdd(k, (entry, match.Groups["pooled"].Success)))
                throw new CheckpointException($"{entry.Origin}: there are two convolutions of size {k}: pooling and cropping tensors are mixed");
        }

        bool fusion = catalog.Has("conv_CM.weight");
        if (kernels.Count == 0)
        {
            return fusion
                ? throw new CheckpointException("conv_CM.weight is there, but no conv_K.weight: the checkpoint is incomplete")
                : new SpatialConfig(null, [], 0, 0, "no conv_K tensors: LLaVA without spatial tokens");
        }

        bool pooled = kernels.Values.Any(kernel => kernel.Pooled);
        if (fusion && pooled) throw new CheckpointException($"{kernels.First().Value.Entry.Origin}: pooling tensors (conv_K.1.weight) stand beside conv_CM.weight");
        if (!fusion && kernels.Any(kernel => kernel.Key != grid && !kernel.Value.Pooled))
            throw new CheckpointException($"{kernels.First().Value.Entry.Origin}: conv_K.weight (cropping) needs conv_CM.weight, which is missing");

        int[] sizes = [.. kernels.Keys];
        foreach ((int k, (CatalogEntry entry, _)) in kernels)
        {
            if (fusion && (grid - k) % 2 != 0) throw new CheckpointException($"{entry.Place}: no centre crop of {k} in a grid of {grid}");
        }

        var width = (int)kernels.First().Value.Entry.Info.Shape[0];
        string list = string.Join(", ", sizes);
        return fusion
            ? new SpatialConfig(SpatialMode.Cropping, sizes, width, FusionKernel(catalog, channels, grid), $"conv_CM.weight and conv_K.weight, K = {list}")
            : new SpatialConfig(SpatialMode.Pooling, sizes, width, 0, $"conv_K.1.weight behind a pooling module, K = {list}");
    }

    /// <summary>Name of a convolution's weight under this variant.</summary>
    internal static string KernelName(TensorCatalog catalog, int k) => catalog.Has($"conv_{k}.1.weight") ? $"conv_{k}.1.weight" : $"conv_{k}.weight";

    private static int FusionKernel(TensorCatalog catalog, int channels, int grid)
    {
        CatalogEntry entry = catalog.Entries["conv_CM.weight"];
        TensorInfo info = entry.Info;
        if (info.Shape.Length < 2) throw new CheckpointException($"{entry.Place} is {info.ShapeText}, not a convolution's weight");
        // As integers it is stored flat: [width, k*k*channels], half of that in bytes for int4.
        int k = info.Shape.Length == 4
            ? (int)Math.Min(int.MaxValue, info.Shape[3])
            : (int)Math.Round(Math.Sqrt((double)info.Shape[^1] * (info.DType == DType.U8 ? 2 : 1) / channels));
        return k >= 1 && k <= grid ? k : throw new CheckpointException($"{entry.Place} {info.ShapeText} does not fit the grid of {grid} x {grid} patches");
    }
}
