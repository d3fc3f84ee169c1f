using System.Buffers.Binary;

namespace LlavaSp.Imaging;

/// <summary>
/// The scans of a JPEG file, counted without decoding. A progressive file repeats the whole picture in every scan, which decoders do for as many as there
/// are, and one that lacks its last scans decodes, only worse.
/// </summary>
/// <param name="Count">Scans (SOS markers).</param>
/// <param name="IsComplete">Whether the file ends with EOI, or has all components in one sequential scan, whose rows a decoder counts.</param>
internal readonly record struct JpegScans(int Count, bool IsComplete)
{
    private const byte EndOfImage = 0xD9, StartOfScan = 0xDA, LastOfFrame = 0xCF, FirstOfFrame = 0xC0;

    /// <summary>Walks through the segments, as far as they are sound.</summary>
    public static JpegScans Read(ReadOnlySpan<byte> jpeg)
    {
        int count = 0, frameComponents = 0;
        bool sequential = false, inOneScan = false;
        for (int at = 2; ;)
        {
            at = NextMarker(jpeg, at);
            if (at >= jpeg.Length)
                break;
            byte marker = jpeg[at++];
            if (marker == EndOfImage)
                return new JpegScans(count, count > 0);
            int length = at + 2 <= jpeg.Length ? BinaryPrimitives.ReadUInt16BigEndian(jpeg[at..]) : 0;
            if (length < 2 || at + length > jpeg.Length)
                break;
            ReadOnlySpan<byte> segment = jpeg.Slice(at + 2, length - 2);
            if (marker is >= FirstOfFrame and <= LastOfFrame and not (0xC4 or 0xC8 or 0xCC) && segment.Length > 5)
                (sequential, frameComponents) = (marker is 0xC0 or 0xC1, segment[5]);
            if (marker == StartOfScan)
            {
                count++;
                inOneScan = sequential && !segment.IsEmpty && segment[0] == frameComponents;
            }
            at += length;
        }
        return new JpegScans(count, count == 1 && inOneScan);
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
