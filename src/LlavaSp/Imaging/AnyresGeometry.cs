namespace LlavaSp.Imaging;

/// <summary>How the features of a picture's tiles are put in sequence (<c>mm_patch_merge_type</c>).</summary>
public enum PatchMergeType
{
    /// <summary>Tile after tile, each with its spatial tokens.</summary>
    Flat,

    /// <summary>All spatial tokens, the whole picture's patches, the grid's patches.</summary>
    Spatial,

    /// <summary>As <see cref="Spatial"/>, the grid cut to the picture, <c>image_newline</c> after each of its rows.</summary>
    SpatialUnpad,
}

/// <summary>The part of a grid of features that shows the picture. Without rows or columns nothing of the grid is kept.</summary>
/// <param name="FirstRow">First row kept.</param>
/// <param name="FirstColumn">First column kept.</param>
/// <param name="Rows">Rows kept.</param>
/// <param name="Columns">Columns kept.</param>
public readonly record struct UnpadWindow(int FirstRow, int FirstColumn, int Rows, int Columns);

/// <summary>
/// Where a picture lies in its grid of tiles: select_best_resolution, resize_and_pad_image and get_anyres_image_grid_shape of llava/mm_utils.py,
/// unpad_image of llava/model/llava_arch.py.
/// </summary>
/// <param name="TileSize">Edge of a tile in pixels.</param>
/// <param name="OriginalWidth">Width of the picture.</param>
/// <param name="OriginalHeight">Height of the picture.</param>
/// <param name="GridWidth">Tiles side by side.</param>
/// <param name="GridHeight">Tiles on top of each other.</param>
/// <param name="PastedLeft">Left edge of the resized picture on the canvas of GridWidth * TileSize by GridHeight * TileSize pixels.</param>
/// <param name="PastedTop">Top edge of the resized picture.</param>
/// <param name="PastedWidth">Width of the resized picture.</param>
/// <param name="PastedHeight">Height of the resized picture.</param>
public sealed record AnyresGeometry(
    int TileSize, int OriginalWidth, int OriginalHeight, int GridWidth, int GridHeight,
    int PastedLeft, int PastedTop, int PastedWidth, int PastedHeight)
{
    /// <summary>Tiles of the grid and the whole picture.</summary>
    public int Tiles => 1 + (GridWidth * GridHeight);

    /// <summary>
    /// Chooses the resolution in which most of the picture's detail is kept (at most its own number of pixels), then the one that wastes least, then the
    /// first; and lays the picture in its middle.
    /// </summary>
    /// <param name="width">Width of the picture in pixels, at least 1.</param>
    /// <param name="height">Height of the picture in pixels, at least 1.</param>
    /// <param name="pinpoints">Resolutions to choose from, checked by <see cref="GridPinpoints"/>.</param>
    public static AnyresGeometry Compute(int width, int height, GridPinpoints pinpoints)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        ArgumentNullException.ThrowIfNull(pinpoints);

        (int bestWidth, int bestHeight) = (0, 0);
        long mostDetail = 0, leastWaste = long.MaxValue;
        foreach ((int candidateWidth, int candidateHeight) in pinpoints.Resolutions)
        {
            double scale = Math.Min((double)candidateWidth / width, (double)candidateHeight / height);
            long detail = Math.Min((long)(width * scale) * (long)(height * scale), (long)width * height);
            long waste = ((long)candidateWidth * candidateHeight) - detail;
            if (detail > mostDetail || (detail == mostDetail && waste < leastWaste))
                (mostDetail, leastWaste, bestWidth, bestHeight) = (detail, waste, candidateWidth, candidateHeight);
        }

        double scaleX = (double)bestWidth / width, scaleY = (double)bestHeight / height;
        int pastedWidth = bestWidth, pastedHeight = bestHeight;
        if (scaleX < scaleY)
            pastedHeight = (int)Math.Min(Math.Ceiling(height * scaleX), bestHeight);
        else
            pastedWidth = (int)Math.Min(Math.Ceiling(width * scaleY), bestWidth);
        return new AnyresGeometry(
            pinpoints.TileSize, width, height, bestWidth / pinpoints.TileSize, bestHeight / pinpoints.TileSize,
            (bestWidth - pastedWidth) / 2, (bestHeight - pastedHeight) / 2, pastedWidth, pastedHeight);
    }

    /// <summary>
    /// What unpad_image keeps of the map of GridHeight * patchesPerSide rows and GridWidth * patchesPerSide columns. The same number is cut on both sides,
    /// so an odd remainder leaves a row or column more than the picture fills.
    /// </summary>
    /// <param name="patchesPerSide">Features along the edge of a tile, e.g. 24.</param>
    public UnpadWindow Unpad(int patchesPerSide)
    {
        int rows = GridHeight * patchesPerSide, columns = GridWidth * patchesPerSide;
        int cutRows = 0, cutColumns = 0;
        if ((double)OriginalWidth / OriginalHeight > (double)columns / rows)
            cutRows = (rows - (int)(OriginalHeight * ((double)columns / OriginalWidth))) / 2;
        else
            cutColumns = (columns - (int)(OriginalWidth * ((double)rows / OriginalHeight))) / 2;
        rows -= 2 * cutRows;
        columns -= 2 * cutColumns;
        return rows == 0 || columns == 0 ? new(0, 0, rows, columns) : new(cutRows, cutColumns, rows, columns);
    }

    /// <summary>Number of features that the picture puts in place of its <c>&lt;image&gt;</c>.</summary>
    /// <param name="mergeType">Order of the features.</param>
    /// <param name="patchesPerSide">Features along the edge of a tile.</param>
    /// <param name="spatialTokens">Spatial tokens of each tile (6; 0 for a model without them).</param>
    public int MergedLength(PatchMergeType mergeType, int patchesPerSide, int spatialTokens)
    {
        int patches = patchesPerSide * patchesPerSide;
        if (mergeType != PatchMergeType.SpatialUnpad)
            return Tiles * (spatialTokens + patches);
        UnpadWindow window = Unpad(patchesPerSide);
        return (Tiles * spatialTokens) + patches + (window.Rows * (window.Columns + 1));
    }
}
