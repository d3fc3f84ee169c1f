namespace LlavaSp.Imaging;

/// <summary>Formats by their first bytes, whatever the file is called.</summary>
internal static class ImageFormat
{
    public const string Supported = "PNG, JPEG, WebP, BMP and GIF";

    private static readonly (int Offset, byte[] Magic, string Name)[] Others =
    [
        (0, "II*\0"u8.ToArray(), "TIFF"),
        (0, "MM\0*"u8.ToArray(), "TIFF"),
        (4, "ftypavif"u8.ToArray(), "AVIF"),
        (4, "ftypavis"u8.ToArray(), "AVIF"),
        (4, "ftyphei"u8.ToArray(), "HEIC"),
        (4, "ftyphev"u8.ToArray(), "HEIC"),
        (4, "ftypmif1"u8.ToArray(), "HEIC"),
        (4, "ftyp"u8.ToArray(), "MP4 video"),
        (0, [0xFF, 0x0A], "JPEG XL"),
        (4, "JXL "u8.ToArray(), "JPEG XL"),
        (4, "jP  "u8.ToArray(), "JPEG 2000"),
        (0, [0xFF, 0x4F, 0xFF, 0x51], "JPEG 2000"),
        (0, [0, 0, 1, 0], "ICO"),
        (0, "8BPS"u8.ToArray(), "Photoshop"),
        (0, "%PDF"u8.ToArray(), "PDF"),
        (0, "<svg"u8.ToArray(), "SVG"),
        (0, "<?xml"u8.ToArray(), "XML"),
        (0, "PK\x03\x04"u8.ToArray(), "ZIP"),
    ];

    /// <summary>Name of a supported format, or null.</summary>
    public static string? Recognise(ReadOnlySpan<byte> bytes)
    {
        if (bytes.StartsWith((ReadOnlySpan<byte>)[0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]))
            return "PNG";
        if (bytes.StartsWith((ReadOnlySpan<byte>)[0xFF, 0xD8, 0xFF]))
            return "JPEG";
        if (bytes.Length >= 12 && bytes.StartsWith("RIFF"u8) && bytes[8..12].SequenceEqual("WEBP"u8))
            return "WebP";
        if (bytes.StartsWith("GIF87a"u8) || bytes.StartsWith("GIF89a"u8))
            return "GIF";
        return bytes.StartsWith("BM"u8) ? "BMP" : null;
    }

    /// <summary>What an unsupported file seems to be, for the message.</summary>
    public static string Describe(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty)
            return "the file is empty";
        foreach ((int offset, byte[] magic, string name) in Others)
            if (bytes.Length >= offset + magic.Length && bytes.Slice(offset, magic.Length).SequenceEqual(magic))
                return $"a {name} file is not supported";
        return "this is not a picture";
    }
}
