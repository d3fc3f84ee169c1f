using LlavaSp.Imaging;

namespace LlavaSp.Graph;

/// <summary>
/// Order in which the features of a picture's tiles enter the prompt (upstream llava_arch.py, prepare_inputs_labels_for_multimodal).
/// </summary>
internal static class FeatureOrder
{
    /// <summary>
    /// Row indices into [tiles * spatial spatial tokens; tiles * patches; image_newline]. Spatial tokens come first: per tile under <c>flat</c>, of all tiles
    /// otherwise; then the whole picture's patches, then the grid row by row.
    /// </summary>
    /// <param name="geometry">Grid of tiles; null for a single tile.</param>
    /// <param name="merge">Merge type.</param>
    /// <param name="grid">Patches along the edge of a tile.</param>
    /// <param name="spatial">Spatial tokens of a tile.</param>
    /// <param name="patches">Features of a tile: grid * grid, or one more with a class token.</param>
    public static int[] Rows(AnyresGeometry? geometry, PatchMergeType merge, int grid, int spatial, int patches)
    {
        int tiles = geometry?.Tiles ?? 1, firstPatch = tiles * spatial;
        var rows = new List<int>(tiles * (spatial + patches));
        if (geometry is null || merge == PatchMergeType.Flat)
        {
            for (int tile = 0; tile < tiles; tile++)
            {
                AddRange(rows, tile * spatial, spatial);
                AddRange(rows, firstPatch + tile * patches, patches);
            }

            return [.. rows];
        }

        AddRange(rows, 0, firstPatch + patches);
        bool unpad = merge == PatchMergeType.SpatialUnpad;
        UnpadWindow window = unpad ? geometry.Unpad(grid) : new UnpadWindow(0, 0, geometry.GridHeight * grid, geometry.GridWidth * grid);
        int newline = firstPatch + tiles * patches;
        for (int y = window.FirstRow; y < window.FirstRow + window.Rows; y++)
        {
            for (int x = window.FirstColumn; x < window.FirstColumn + window.Columns; x++)
            {
                int tile = 1 + y / grid * geometry.GridWidth + x / grid;
                rows.Add(firstPatch + tile * patches + y % grid * grid + x % grid);
            }

            if (unpad) rows.Add(newline);
        }

        return [.. rows];
    }

    private static void AddRange(List<int> rows, int first, int count)
    {
        for (int i = 0; i < count; i++) rows.Add(first + i);
    }
}
