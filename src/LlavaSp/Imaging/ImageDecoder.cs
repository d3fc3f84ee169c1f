using System.Runtime.InteropServices;
using SkiaSharp;

namespace LlavaSp.Imaging;

/// <summary>
/// Decodes PNG, JPEG, WebP, BMP and GIF (first frame) to 8-bit RGB as Pillow's <c>Image.open(f).convert("RGB")</c> does: alpha is dropped and
/// not composited, colour profiles and gamma are ignored, and a picture that is cut short is an error.
/// Known differences from Pillow 9.4: 16-bit grayscale PNG keeps its high byte (Pillow clips values above 255 to white); a GIF whose first frame leaves
/// part of the canvas free is black there (Pillow: the first or the transparent colour of the palette).
/// </summary>
public static class ImageDecoder
{
    // Real progressive JPEGs have about ten.
    private const int MaxJpegScans = 100;

    /// <summary>Decodes a file.</summary>
    /// <param name="path">Path of the picture.</param>
    /// <param name="limits">Limits on file and picture size; null for the defaults.</param>
    /// <param name="applyExifOrientation">Whether to turn the picture upright as its EXIF tag says. Upstream ignores the tag.</param>
    /// <exception cref="ImageException">Not readable, not a supported picture, damaged, or over a limit.</exception>
    public static RgbImage Decode(string path, ImageLimits? limits = null, bool applyExifOrientation = false)
    {
        ArgumentNullException.ThrowIfNull(path);
        limits ??= ImageLimits.Default;
        byte[] bytes;
        try
        {
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 1);
            bytes = ReadAll(file, limits, path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            string reason = e switch
            {
                FileNotFoundException or DirectoryNotFoundException => "there is no such file; check the path",
                UnauthorizedAccessException when Directory.Exists(path) => "this is a directory; name a picture in it",
                UnauthorizedAccessException => "no permission to read it",
                _ => "it cannot be read: " + e.Message.ReplaceLineEndings(" "),
            };
            throw new ImageException($"{path}: {reason}", e);
        }
        return Decode(bytes, limits, applyExifOrientation, path);
    }

    /// <summary>Decodes from a stream's position to its end; not more than the limit is read. The stream stays open.</summary>
    /// <inheritdoc cref="Decode(string, ImageLimits?, bool)"/>
    public static RgbImage Decode(Stream stream, ImageLimits? limits = null, bool applyExifOrientation = false)
    {
        ArgumentNullException.ThrowIfNull(stream);
        limits ??= ImageLimits.Default;
        byte[] bytes;
        try
        {
            bytes = ReadAll(stream, limits, "<stream>");
        }
        catch (IOException e)
        {
            throw new ImageException($"<stream>: it cannot be read: {e.Message.ReplaceLineEndings(" ")}", e);
        }
        return Decode(bytes, limits, applyExifOrientation, "<stream>");
    }

    /// <summary>Decodes a file that is in memory.</summary>
    /// <inheritdoc cref="Decode(string, ImageLimits?, bool)"/>
    public static RgbImage Decode(ReadOnlySpan<byte> bytes, ImageLimits? limits = null, bool applyExifOrientation = false) =>
        Decode(bytes, limits ?? ImageLimits.Default, applyExifOrientation, "<bytes>");

    private static byte[] ReadAll(Stream stream, ImageLimits limits, string name)
    {
        long limit = Math.Clamp(limits.MaxBytes, 0, Array.MaxLength - 1);
        using var copy = new MemoryStream();
        byte[] block = new byte[1 << 16];
        for (int read; (read = stream.Read(block)) > 0;)
        {
            if (copy.Length + read > limit)
                throw TooManyBytes(name, limit);
            copy.Write(block, 0, read);
        }
        return copy.ToArray();
    }

    private static ImageException TooManyBytes(string name, long limit) =>
        new($"{name}: the file is larger than the limit of {limit} bytes; use a smaller picture or raise the limit");

    private static RgbImage Decode(ReadOnlySpan<byte> bytes, ImageLimits limits, bool applyExifOrientation, string name)
    {
        if (bytes.Length > limits.MaxBytes)
            throw TooManyBytes(name, limits.MaxBytes);
        string format = ImageFormat.Recognise(bytes)
            ?? throw new ImageException($"{name}: {ImageFormat.Describe(bytes)}; supported are {ImageFormat.Supported}");
        if (format == "GIF")
            bytes = GifTransparency.Clear(bytes);
        if (format == "JPEG")
        {
            JpegScans scans = JpegScans.Read(bytes);
            if (scans.Count > MaxJpegScans)
                throw new ImageException($"{name}: the JPEG has {scans.Count} scans, more than the limit of {MaxJpegScans}; save it anew");
            if (!scans.IsComplete)
                throw new ImageException($"{name}: the JPEG is cut short or damaged; use an intact file");
        }
        try
        {
            return DecodeWithSkia(bytes, limits, applyExifOrientation, name, format);
        }
        catch (Exception e) when (e is DllNotFoundException or TypeInitializationException)
        {
            throw new DeviceException("the picture decoder libSkiaSharp cannot be loaded; install the build for this system", e);
        }
    }

    private static unsafe RgbImage DecodeWithSkia(
        ReadOnlySpan<byte> bytes, ImageLimits limits, bool applyExifOrientation, string name, string format)
    {
        fixed (byte* start = bytes)
        {
            using SKData data = SKData.Create((nint)start, bytes.Length);
            using SKCodec? codec = SKCodec.Create(data);
            if (codec is null || !codec.EncodedFormat.ToString().Equals(format, StringComparison.OrdinalIgnoreCase))
                throw new ImageException($"{name}: the {format} header is damaged or cut short; use an intact file");

            int width = codec.Info.Width, height = codec.Info.Height;
            long pixels = Math.Min(limits.MaxPixels, Array.MaxLength / 4);
            if (width < 1 || height < 1)
                throw new ImageException($"{name}: the {format} says that it is {width} x {height} pixels; use an intact file");
            if (width > limits.MaxEdge || height > limits.MaxEdge || (long)width * height > pixels)
            {
                throw new ImageException($"{name}: {width} x {height} pixels are more than the limit ({pixels} pixels, edges of {limits.MaxEdge}); "
                    + "make the picture smaller or raise the limit");
            }

            // No colour space: values come as they are stored. Unpremultiplied: colours survive where the picture is transparent.
            var info = new SKImageInfo(width, height, SKColorType.Rgba8888, SKAlphaType.Unpremul, null);
            byte* rgba = (byte*)NativeMemory.AllocZeroed((nuint)width * (nuint)height * 4);
            try
            {
                SKCodecResult result = codec.GetPixels(info, (nint)rgba);
                if (result != SKCodecResult.Success)
                {
                    string reason = result == SKCodecResult.IncompleteInput ? "is cut short" : $"is damaged ({result})";
                    throw new ImageException($"{name}: the {format} {reason}; use an intact file");
                }
                var image = new RgbImage(width, height, DropAlpha(rgba, width * height));
                return applyExifOrientation ? ExifOrientation.Apply(image, (int)codec.EncodedOrigin) : image;
            }
            finally
            {
                NativeMemory.Free(rgba);
            }
        }
    }

    private static unsafe byte[] DropAlpha(byte* rgba, int count)
    {
        byte[] rgb = GC.AllocateUninitializedArray<byte>(checked(count * 3));
        fixed (byte* start = rgb)
        {
            byte* to = start;
            for (byte* from = rgba, end = rgba + (4L * count); from != end; from += 4, to += 3)
            {
                to[0] = from[0];
                to[1] = from[1];
                to[2] = from[2];
            }
        }
        return rgb;
    }
}
