namespace LlavaSp.Imaging;

/// <summary>What a picture may cost before it is refused. All are checked before pixels are decoded.</summary>
/// <param name="MaxBytes">Largest file in bytes.</param>
/// <param name="MaxPixels">Largest width * height.</param>
/// <param name="MaxEdge">Largest width or height.</param>
public sealed record ImageLimits(long MaxBytes = 64L << 20, long MaxPixels = 100_000_000, int MaxEdge = 65_535)
{
    /// <summary>64 MiB, 100 million pixels, edges up to 65535.</summary>
    public static ImageLimits Default { get; } = new();
}
