using System.Text.Json;

namespace LlavaSp.Imaging;

/// <summary>The resolutions that anyres may choose from (<c>image_grid_pinpoints</c>), as (width, height) in whole tiles.</summary>
public sealed class GridPinpoints
{
    /// <summary>Most tiles of a grid.</summary>
    public const int MaxTiles = 64;

    private const int MaxResolutions = 4096;

    /// <summary>Checks and keeps the resolutions.</summary>
    /// <param name="resolutions">(width, height) in pixels.</param>
    /// <param name="tileSize">Edge of a tile in pixels (the processor's crop size).</param>
    /// <param name="fileName">The file that they come from, for messages.</param>
    /// <exception cref="CheckpointException">None, too many, or one that is not a grid of 1 to 64 whole tiles.</exception>
    public GridPinpoints(IReadOnlyList<(int Width, int Height)> resolutions, int tileSize, string fileName)
    {
        ArgumentNullException.ThrowIfNull(resolutions);
        ArgumentOutOfRangeException.ThrowIfLessThan(tileSize, 1);
        if (resolutions.Count is 0 or > MaxResolutions)
            throw Wrong(fileName, $"has {resolutions.Count} resolutions; 1 to {MaxResolutions} are supported");
        foreach ((int width, int height) in resolutions)
        {
            if (width < 1 || height < 1 || width % tileSize != 0 || height % tileSize != 0)
                throw Wrong(fileName, $"names {width} x {height}, which is not a grid of {tileSize} x {tileSize} tiles");
            if ((long)(width / tileSize) * (height / tileSize) > MaxTiles)
                throw Wrong(fileName, $"names {width} x {height}, which is more than {MaxTiles} tiles of {tileSize} x {tileSize}");
        }
        Resolutions = resolutions;
        TileSize = tileSize;
    }

    /// <summary>(width, height) in pixels, in the config's order: the first of equals is chosen.</summary>
    public IReadOnlyList<(int Width, int Height)> Resolutions { get; }

    /// <summary>Edge of a tile in pixels.</summary>
    public int TileSize { get; }

    /// <summary>Reads the config's value: a list of pairs, or a string that holds one with brackets or parentheses, as upstream evaluates it.</summary>
    /// <inheritdoc cref="GridPinpoints(IReadOnlyList{ValueTuple{int, int}}, int, string)"/>
    public static GridPinpoints Parse(JsonElement value, int tileSize, string fileName)
    {
        if (value.ValueKind != JsonValueKind.String)
            return new GridPinpoints(Pairs(value, fileName), tileSize, fileName);
        try
        {
            using JsonDocument list = JsonDocument.Parse(value.GetString()!.Replace('(', '[').Replace(')', ']'));
            return new GridPinpoints(Pairs(list.RootElement, fileName), tileSize, fileName);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new CheckpointException($"{fileName}: image_grid_pinpoints is a string that holds no list of [width, height] pairs; correct it", e);
        }
    }

    private static List<(int, int)> Pairs(JsonElement list, string fileName)
    {
        if (list.ValueKind != JsonValueKind.Array)
            throw Wrong(fileName, "is not a list of [width, height] pairs");
        var pairs = new List<(int, int)>();
        foreach (JsonElement pair in list.EnumerateArray())
        {
            if (pair.ValueKind != JsonValueKind.Array || pair.GetArrayLength() != 2
                || pair[0].ValueKind != JsonValueKind.Number || !pair[0].TryGetInt32(out int width)
                || pair[1].ValueKind != JsonValueKind.Number || !pair[1].TryGetInt32(out int height))
            {
                throw Wrong(fileName, $"has an entry {pairs.Count} that is not a [width, height] pair of whole numbers");
            }
            pairs.Add((width, height));
        }
        return pairs;
    }

    private static CheckpointException Wrong(string fileName, string what) => new($"{fileName}: image_grid_pinpoints {what}; correct it");
}
