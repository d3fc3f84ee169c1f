using System.Buffers.Binary;
using System.Text;
using LlavaSp.Imaging;
using SkiaSharp;

namespace LlavaSp.Tests.Imaging;

/// <summary>Files with the segments that a test needs, and the plain operations that decoded pictures are compared with.</summary>
internal static class PictureFiles
{
    /// <summary>The picture, lossless, with a colour profile.</summary>
    public static byte[] Encode(RgbImage image, SKEncodedImageFormat format, SKColorSpace profile)
    {
        using var bitmap = new SKBitmap(new SKImageInfo(image.Width, image.Height, SKColorType.Rgba8888, SKAlphaType.Opaque, profile));
        Span<byte> rgba = bitmap.GetPixelSpan();
        for (int i = 0; i < image.Width * image.Height; i++)
        {
            image.Pixels.AsSpan(i * 3, 3).CopyTo(rgba[(i * 4)..]);
            rgba[(i * 4) + 3] = 255;
        }
        using SKPixmap pixmap = bitmap.PeekPixels()!;
        using SKData? data = format == SKEncodedImageFormat.Webp
            ? pixmap.Encode(new SKWebpEncoderOptions(SKWebpEncoderCompression.Lossless, 50))
            : pixmap.Encode(format, 100);
        return data!.ToArray();
    }

    /// <summary>The PNG with a chunk more, before its first IDAT.</summary>
    public static byte[] InsertPngChunk(byte[] png, string type, byte[] data)
    {
        int at = png.AsSpan().IndexOf("IDAT"u8) - 4;
        return [.. png[..at], .. PngChunk(type, data), .. png[at..]];
    }

    /// <summary>A PNG that claims a size and has no pixels.</summary>
    public static byte[] PngHeader(int width, int height)
    {
        var header = new byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, width);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), height);
        header[8] = 8;
        header[9] = 2;
        return [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, .. PngChunk("IHDR", header), .. PngChunk("IDAT", [0x78, 0x9C, 3, 0, 0, 0, 0, 1])];
    }

    /// <summary>The JPEG with an APP1 segment of one tag, 0x0112, in big-endian TIFF.</summary>
    public static byte[] InsertExifOrientation(byte[] jpeg, int orientation)
    {
        byte[] tiff = [.. "Exif\0\0MM\0*"u8, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, (byte)orientation, 0, 0, 0, 0, 0, 0];
        return [0xFF, 0xD8, 0xFF, 0xE1, 0, (byte)(tiff.Length + 2), .. tiff, .. jpeg[2..]];
    }

    public static RgbImage Mirror(RgbImage image) => Map(image, image.Width, image.Height, (x, y) => (image.Width - 1 - x, y));

    public static RgbImage TurnClockwise(RgbImage image) => Map(image, image.Height, image.Width, (x, y) => (y, image.Height - 1 - x));

    private static RgbImage Map(RgbImage image, int width, int height, Func<int, int, (int X, int Y)> from)
    {
        var result = new RgbImage(width, height, new byte[image.Pixels.Length]);
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++)
            {
                (int sourceX, int sourceY) = from(x, y);
                image.Row(sourceY).Slice(sourceX * 3, 3).CopyTo(result.Pixels.AsSpan(((y * width) + x) * 3));
            }
        }
        return result;
    }

    private static byte[] PngChunk(string type, byte[] data)
    {
        byte[] body = [.. Encoding.ASCII.GetBytes(type), .. data];
        uint crc = uint.MaxValue;
        foreach (byte b in body)
        {
            crc ^= b;
            for (int i = 0; i < 8; i++)
                crc = (crc & 1) != 0 ? (crc >> 1) ^ 0xEDB88320 : crc >> 1;
        }
        var chunk = new byte[body.Length + 8];
        BinaryPrimitives.WriteInt32BigEndian(chunk, data.Length);
        body.CopyTo(chunk, 4);
        BinaryPrimitives.WriteUInt32BigEndian(chunk.AsSpan(chunk.Length - 4), ~crc);
        return chunk;
    }
}
