using System.Buffers.Binary;

namespace LlavaSp.Imaging;

/// <summary>
/// The scans of a JPEG file, counted without decoding. A progressive file repeats the whole picture in every scan, which decoders do for as many as there
/// are, and one that lacks its last scans decodes, only worse.
/// </summary>
/// <param name="Count">Scans (SOS markers).</param>
/// <param name="IsComplete">Whether EOI follows them. Pillow refuses files without it, whatever their scans.</param>
internal readonly record struct JpegScans(int Count, bool IsComplete)
{
    private const byte EndOfImage = 0xD9, StartOfScan = 0xDA;

    /// <summary>Walks through the segments, as far as they are sound.</summary>
    public static JpegScans Read(ReadOnlySpan<byte> jpeg)
    {
        int count = 0;
        for (int at = NextMarker(jpeg, 2); at < jpeg.Length; at = NextMarker(jpeg, at))
        {
            byte marker = jpeg[at++];
            if (marker == EndOfImage)
                return new JpegScans(count, true);
            int length = at + 2 <= jpeg.Length ? BinaryPrimitives.ReadUInt16BigEndian(jpeg[at..]) : 0;
            if (length < 2 || length > jpeg.Length - at)
                break;
            if (marker == StartOfScan)
                count++;
            at += length;
        }
        return new JpegScans(count, false);
    }

    /// <summary>Index of the code of the next marker: after 0xFF, neither a stuffed zero, a fill byte, nor one that has no segment.</summary>
    private static int NextMarker(ReadOnlySpan<byte> jpeg, int at)
    {
        while (at < jpeg.Length)
        {
            int found = jpeg[at..].IndexOf((byte)0xFF);
            if (found < 0)
                break;
            at += found + 1;
            if (at < jpeg.Length && jpeg[at] is not (0x00 or 0x01 or 0xFF or (>= 0xD0 and <= 0xD8)))
                return at;
        }
        return jpeg.Length;
    }
}
