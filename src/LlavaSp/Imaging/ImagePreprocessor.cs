using System.Runtime.InteropServices;
using System.Security.Cryptography;
using LlavaSp.Backends;

namespace LlavaSp.Imaging;

/// <summary>
/// Turns pictures into tiles as process_images of llava/mm_utils.py with CLIPImageProcessor of transformers 4.37 and Pillow do it, bit for bit.
/// Immutable; may be used by several threads.
/// </summary>
public sealed class ImagePreprocessor
{
    private readonly PreprocessorConfig _config;
    private readonly GridPinpoints? _pinpoints;
    private readonly bool _pad;
    private readonly float[] _lookup;

    /// <summary>Creates the preprocessor of a checkpoint.</summary>
    /// <param name="config">The vision tower's processor.</param>
    /// <param name="imageAspectRatio">
    /// <c>image_aspect_ratio</c> of the checkpoint's config: <c>pad</c> (a square canvas in the mean colour), <c>anyres</c>, or null or <c>square</c> (the
    /// shorter edge fills the tile, the rest is cut off).
    /// </param>
    /// <param name="pinpoints">Resolutions for anyres, of tiles of the config's size; not used otherwise.</param>
    /// <exception cref="CheckpointException">An unknown aspect ratio, or anyres without pinpoints or with those of other tiles.</exception>
    public ImagePreprocessor(PreprocessorConfig config, string? imageAspectRatio = null, GridPinpoints? pinpoints = null)
    {
        ArgumentNullException.ThrowIfNull(config);
        _config = config;
        _lookup = CreateLookup(config);
        switch (imageAspectRatio)
        {
            case null or "square":
                break;
            case "pad":
                _pad = true;
                break;
            case "anyres":
                _pinpoints = pinpoints ?? throw new CheckpointException("image_aspect_ratio is anyres, but there are no image_grid_pinpoints; add them to config.json");
                if (pinpoints.TileSize != config.CropSize)
                    throw new CheckpointException($"image_grid_pinpoints are for tiles of {pinpoints.TileSize} pixels, but the processor's crop_size is {config.CropSize}; make them equal");
                break;
            default:
                throw new CheckpointException($"image_aspect_ratio '{imageAspectRatio}' is not supported; pad, square and anyres are");
        }
    }

    /// <summary>Edge of a tile in pixels.</summary>
    public int TileSize => _config.TileSize;

    /// <summary>[3, 256]: the value of <c>pixel_values</c> for every 8-bit value of every channel.</summary>
    public ReadOnlyMemory<float> Lookup => _lookup;

    /// <summary>Resizes, pads, cuts.</summary>
    /// <exception cref="CheckpointException">The config has no centre crop (or no resize), and this picture does not come out as a square tile.</exception>
    public PreparedImage Prepare(RgbImage image)
    {
        ArgumentNullException.ThrowIfNull(image);
        AnyresGeometry? geometry = _pinpoints is null ? null : AnyresGeometry.Compute(image.Width, image.Height, _pinpoints);
        Canvas[] tiles = geometry is not null ? Divide(image, geometry)
            : [_pad ? Canvas.Square(image, Background(0), Background(1), Background(2)) : Canvas.Of(image)];

        int tileLength = 3 * TileSize * TileSize;
        var pixels = new byte[tiles.Length * tileLength];
        for (int i = 0; i < tiles.Length; i++)
            Process(tiles[i], pixels.AsSpan(i * tileLength, tileLength));
        return new PreparedImage(
            new TilePixels(tiles.Length, TileSize, pixels, _lookup), image.Width, image.Height, geometry, Hash(pixels, geometry));
    }

    /// <summary>Where a tile's pixels lie in the picture that <see cref="Prepare"/> took.</summary>
    /// <param name="image">What came out.</param>
    /// <param name="tile">Index of the tile; 0 is the only one, or under anyres the whole picture.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such tile.</exception>
    public TileView ViewOf(PreparedImage image, int tile)
    {
        ArgumentNullException.ThrowIfNull(image);
        ArgumentOutOfRangeException.ThrowIfNegative(tile);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(tile, image.Pixels.Tiles);
        int width = image.OriginalWidth, height = image.OriginalHeight, size = TileSize;
        // The canvas of the tile, and the picture's place and size on it.
        double canvasWidth = width, canvasHeight = height, pasteLeft = 0, pasteTop = 0, pasteWidth = width, pasteHeight = height;
        if (image.Geometry is { } geometry)
        {
            canvasWidth = canvasHeight = pasteWidth = pasteHeight = tile == 0 ? _config.ShortestEdge : size;
            if (tile > 0)
            {
                int column = (tile - 1) % geometry.GridWidth, row = (tile - 1) / geometry.GridWidth;
                (pasteLeft, pasteTop) = (geometry.PastedLeft - (column * size), geometry.PastedTop - (row * size));
                (pasteWidth, pasteHeight) = (geometry.PastedWidth, geometry.PastedHeight);
            }
        }
        else if (_pad)
        {
            int side = Math.Max(width, height);
            canvasWidth = canvasHeight = side;
            (pasteLeft, pasteTop) = ((side - width) / 2, (side - height) / 2);
        }

        var (resizedWidth, resizedHeight) = Resized((int)canvasWidth, (int)canvasHeight);
        double x = canvasWidth / resizedWidth, y = canvasHeight / resizedHeight;
        double left = (((resizedWidth - size) >> 1) * x) - pasteLeft, top = (((resizedHeight - size) >> 1) * y) - pasteTop;
        double stretchX = width / pasteWidth, stretchY = height / pasteHeight;
        return new TileView(left * stretchX, top * stretchY, x * stretchX, y * stretchY);
    }

    /// <summary>process_anyres_image: the whole picture squeezed to a square, then the grid row by row.</summary>
    private Canvas[] Divide(RgbImage image, AnyresGeometry geometry)
    {
        var tiles = new Canvas[geometry.Tiles];
        tiles[0] = Canvas.Of(PillowResize.Resize(image, _config.ShortestEdge, _config.ShortestEdge));
        RgbImage pasted = PillowResize.Resize(image, geometry.PastedWidth, geometry.PastedHeight);
        int size = geometry.TileSize;
        for (int i = 1; i < tiles.Length; i++)
        {
            int column = (i - 1) % geometry.GridWidth, row = (i - 1) / geometry.GridWidth;
            tiles[i] = new Canvas(pasted, size, size, geometry.PastedLeft - (column * size), geometry.PastedTop - (row * size), 0, 0, 0);
        }
        return tiles;
    }

    /// <summary>CLIPImageProcessor.preprocess up to the 8-bit values: planes [3, S, S].</summary>
    private void Process(Canvas canvas, Span<byte> planes)
    {
        int size = TileSize;
        var (width, height) = Resized(canvas.Width, canvas.Height);
        if (!_config.DoCenterCrop && (width != size || height != size))
        {
            throw new CheckpointException(
                $"the preprocessor config has no centre crop, and a picture of {canvas.Width} x {canvas.Height} pixels comes out as {width} x {height}, "
                + $"not {size} x {size}; set do_resize and do_center_crop");
        }

        // center_crop: what lies outside of the picture stays zero.
        int left = (width - size) >> 1, top = (height - size) >> 1;
        int firstX = Math.Max(left, 0), firstY = Math.Max(top, 0);
        int columns = Math.Min(left + size, width) - firstX, rows = Math.Min(top + size, height) - firstY;
        byte[] window = PillowResize.Resize(canvas, width, height, firstX, firstY, columns, rows);
        for (int channel = 0; channel < 3; channel++)
        {
            for (int y = 0; y < rows; y++)
            {
                Span<byte> to = planes.Slice((((channel * size) + firstY - top + y) * size) + firstX - left, columns);
                ReadOnlySpan<byte> from = window.AsSpan(y * columns * 3, columns * 3);
                for (int x = 0; x < to.Length; x++)
                    to[x] = from[(x * 3) + channel];
            }
        }
    }

    // get_resize_output_image_size
    private (int Width, int Height) Resized(int width, int height)
    {
        if (!_config.DoResize) return (width, height);
        int edge = _config.ShortestEdge;
        return width <= height
            ? (edge, (int)((double)((long)edge * height) / width))
            : ((int)((double)((long)edge * width) / height), edge);
    }

    private byte Background(int channel) => (byte)Math.Clamp(_config.Mean[channel] * 255, 0, 255);

    private static float[] CreateLookup(PreprocessorConfig config)
    {
        var lookup = new float[3 * 256];
        for (int i = 0; i < lookup.Length; i++)
        {
            int channel = i / 256, value = i % 256;
            float rescaled = config.DoRescale ? (float)(value * config.RescaleFactor) : value;
            lookup[i] = config.DoNormalize ? (rescaled - (float)config.Mean[channel]) / (float)config.Std[channel] : rescaled;
        }
        return lookup;
    }

    private string Hash(byte[] pixels, AnyresGeometry? geometry)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        ReadOnlySpan<int> shape = [TileSize, geometry?.GridWidth ?? 0, geometry?.GridHeight ?? 0, geometry?.OriginalWidth ?? 0, geometry?.OriginalHeight ?? 0];
        hash.AppendData(MemoryMarshal.AsBytes(shape));
        hash.AppendData(MemoryMarshal.AsBytes<float>(_lookup));
        hash.AppendData(pixels);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
