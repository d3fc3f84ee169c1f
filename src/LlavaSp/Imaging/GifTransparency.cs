namespace LlavaSp.Imaging;

/// <summary>
/// Pillow's <c>convert("RGB")</c> gives transparent GIF pixels the colour that the palette has for them; the decoder leaves them empty. Without
/// the transparency flag of the first frame the decoder does as Pillow.
/// </summary>
internal static class GifTransparency
{
    /// <summary>A copy of the file without that flag, or the file itself where there is none. Damage is left for the decoder to find.</summary>
    public static ReadOnlySpan<byte> Clear(ReadOnlySpan<byte> gif)
    {
        const byte extension = 0x21, graphicControl = 0xF9;
        if (gif.Length < 13)
            return gif;
        int at = 13 + ColorTableLength(gif[10]);
        while (at + 3 < gif.Length && gif[at] == extension)
        {
            if (gif[at + 1] == graphicControl && (gif[at + 3] & 1) != 0)
            {
                byte[] copy = gif.ToArray();
                copy[at + 3] &= 0xFE;
                return copy;
            }
            at += 2;
            while (at < gif.Length && gif[at] != 0)
                at += gif[at] + 1;
            at++;
        }
        return gif;
    }

    private static int ColorTableLength(byte packed) => (packed & 0x80) == 0 ? 0 : 3 << ((packed & 7) + 1);
}
