using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using LlavaSp.Imaging;

namespace LlavaSp.Tests.Imaging;

/// <summary>Pictures made by rule, and the files of Data/ (see Data/README.md).</summary>
internal static class TestPictures
{
    public static string Data(string name) => Path.Combine(SourceFolder(), "Data", name);

    public static string[][] Table(string name) => [.. File.ReadLines(Data(name)).Select(line => line.Split(' '))];

    /// <summary>noise: the high bytes of a linear congruential generator seeded with the size; binary: the same as 0 or 255; ramp: gradients.</summary>
    public static RgbImage Create(string kind, int width, int height)
    {
        var pixels = new byte[width * height * 3];
        uint state = (uint)((width * 65536L) + height);
        for (int i = 0; i < pixels.Length; i++)
        {
            state = unchecked((state * 1664525) + 1013904223);
            int value = (int)(state >> 24), x = i / 3 % width, y = i / 3 / width;
            pixels[i] = (byte)((kind, i % 3) switch
            {
                ("noise", _) => value,
                ("binary", _) => value < 128 ? 0 : 255,
                ("ramp", 0) => x * 255 / Math.Max(width - 1, 1),
                ("ramp", 1) => y * 255 / Math.Max(height - 1, 1),
                ("ramp", _) => ((x * 7) + (y * 13)) % 256,
                _ => throw new ArgumentException(kind),
            });
        }
        return new RgbImage(width, height, pixels);
    }

    public static RgbImage Constant(int width, int height, byte red, byte green, byte blue)
    {
        var pixels = new byte[width * height * 3];
        for (int i = 0; i < pixels.Length; i += 3)
            (pixels[i], pixels[i + 1], pixels[i + 2]) = (red, green, blue);
        return new RgbImage(width, height, pixels);
    }

    /// <summary>The first 24 hex digits of SHA-256.</summary>
    public static string Hash(ReadOnlySpan<byte> bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes))[..24];

    private static string SourceFolder([CallerFilePath] string file = "") => Path.GetDirectoryName(file)!;
}
