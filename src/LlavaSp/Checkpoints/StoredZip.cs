using System.Buffers.Binary;
using System.Text;

namespace LlavaSp.Checkpoints;

/// <summary>Where the bytes of a zip entry lie in the file.</summary>
internal readonly record struct StoredEntry(long Offset, long Length);

/// <summary>
/// Reads the directory of a zip file whose entries are all stored uncompressed, as torch.save writes them, so that they can be used where
/// they lie.
/// Done by hand because <see cref="System.IO.Compression.ZipArchive"/> does not tell where an entry's bytes begin.
/// </summary>
internal static class StoredZip
{
    private const uint LocalSignature = 0x04034b50, CentralSignature = 0x02014b50, EndSignature = 0x06054b50;
    private const uint Zip64EndSignature = 0x06064b50, Zip64LocatorSignature = 0x07064b50;
    private const int LocalSize = 30, CentralSize = 46, EndSize = 22, Zip64EndSize = 56, Zip64LocatorSize = 20;
    private const int MaxDirectory = 64 << 20;

    /// <summary>Whether the file begins as a zip file does.</summary>
    public static bool IsZip(MappedFile file) => file.Length >= 4 && ReadUInt32(file.Slice(0, 4), 0) == LocalSignature;

    /// <summary>Every entry by name.</summary>
    /// <exception cref="CheckpointException">Truncated or damaged, or an entry is compressed, encrypted, there twice or outside the
    /// file.</exception>
    public static Dictionary<string, StoredEntry> Read(MappedFile file)
    {
        (long start, long length, long count) = FindDirectory(file);
        if (start < 0 || length < 0 || start > file.Length - length)
        {
            throw Refusal.Of(file.Path, "the zip directory lies outside the file: truncated or damaged");
        }
        if (length > MaxDirectory) throw Refusal.Of(file.Path, $"the zip directory has {length} bytes, more than {MaxDirectory}");
        Dictionary<string, StoredEntry> entries = [];
        ReadOnlySpan<byte> directory = file.Slice(start, length);
        for (long i = 0; i < count; i++)
        {
            if (directory.Length < CentralSize || ReadUInt32(directory, 0) != CentralSignature)
            {
                throw Refusal.Of(file.Path, $"the zip directory is damaged at entry {i}");
            }
            int size = CentralSize + ReadUInt16(directory, 28) + ReadUInt16(directory, 30) + ReadUInt16(directory, 32);
            if (size > directory.Length) throw Refusal.Of(file.Path, $"the zip directory is damaged at entry {i}");
            (string name, StoredEntry entry) = ReadEntry(file, directory[..size]);
            if (!entries.TryAdd(name, entry)) throw Refusal.Of(file.Path, $"zip entry {Refusal.Quote(name)} is there twice");
            directory = directory[size..];
        }
        if (!directory.IsEmpty) throw Refusal.Of(file.Path, $"the zip directory has more than the {count} entries that it announces");
        return entries;
    }

    private static (long Start, long Length, long Count) FindDirectory(MappedFile file)
    {
        int tailLength = (int)Math.Min(file.Length, EndSize + ushort.MaxValue);
        ReadOnlySpan<byte> tail = file.Slice(file.Length - tailLength, tailLength);
        // The record is the last thing in the file but for a comment whose length it gives.
        for (int at = tail.Length - EndSize; at >= 0; at--)
        {
            if (ReadUInt32(tail, at) != EndSignature || at + EndSize + ReadUInt16(tail, at + 20) != tail.Length) continue;
            (ushort count, uint length, uint start) = (ReadUInt16(tail, at + 10), ReadUInt32(tail, at + 12), ReadUInt32(tail, at + 16));
            bool zip64 = count == ushort.MaxValue || length == uint.MaxValue || start == uint.MaxValue;
            if (zip64) return ReadZip64End(file, file.Length - tailLength + at);
            if (ReadUInt16(tail, at + 4) != 0 || ReadUInt16(tail, at + 8) != count)
            {
                throw Refusal.Of(file.Path, "is one part of a split zip file");
            }
            return (start, length, count);
        }
        throw Refusal.Of(file.Path, "has no zip directory at its end: the file is truncated, or still being downloaded");
    }

    private static (long Start, long Length, long Count) ReadZip64End(MappedFile file, long end)
    {
        const string damaged = "the zip64 directory is damaged";
        if (end < Zip64LocatorSize) throw Refusal.Of(file.Path, damaged);
        ReadOnlySpan<byte> locator = file.Slice(end - Zip64LocatorSize, Zip64LocatorSize);
        long at = ReadInt64(locator, 8);
        if (ReadUInt32(locator, 0) != Zip64LocatorSignature || at < 0 || at > end - Zip64EndSize) throw Refusal.Of(file.Path, damaged);
        ReadOnlySpan<byte> record = file.Slice(at, Zip64EndSize);
        long count = ReadInt64(record, 32);
        if (ReadUInt32(record, 0) != Zip64EndSignature || count < 0) throw Refusal.Of(file.Path, damaged);
        if (ReadUInt32(record, 16) != 0 || ReadInt64(record, 24) != count) throw Refusal.Of(file.Path, "is one part of a split zip file");
        return (ReadInt64(record, 48), ReadInt64(record, 40), count);
    }

    private static (string Name, StoredEntry Entry) ReadEntry(MappedFile file, ReadOnlySpan<byte> central)
    {
        int nameLength = ReadUInt16(central, 28);
        ReadOnlySpan<byte> rawName = central.Slice(CentralSize, nameLength);
        string name = Encoding.UTF8.GetString(rawName);
        string entry = $"zip entry {Refusal.Quote(name)}";
        if ((ReadUInt16(central, 8) & 1) != 0)
        {
            throw Refusal.Of(file.Path, $"{entry} is encrypted: save the checkpoint again without a password");
        }
        if (ReadUInt16(central, 10) != 0)
        {
            throw Refusal.Of(file.Path, $"{entry} is compressed: unpack it and zip it with 'zip -0 -r', or save it again with torch.save");
        }
        long stored = ReadUInt32(central, 20), length = ReadUInt32(central, 24), local = ReadUInt32(central, 42);
        ReadZip64Sizes(file, entry, central.Slice(CentralSize + nameLength, ReadUInt16(central, 30)), ref length, ref stored, ref local);
        if (stored != length)
        {
            throw Refusal.Of(file.Path, $"{entry} has {length} bytes but {stored} in the file, although it is not compressed");
        }
        if (local < 0 || local > file.Length - LocalSize)
        {
            throw Refusal.Of(file.Path, $"{entry} begins beyond the end of the file: truncated or damaged");
        }

        // The local header repeats the name, and its extra field decides where the bytes begin.
        ReadOnlySpan<byte> header = file.Slice(local, LocalSize);
        int localNameLength = ReadUInt16(header, 26);
        long start = local + LocalSize + localNameLength + ReadUInt16(header, 28);
        if (length < 0 || start > file.Length || length > file.Length - start)
        {
            throw Refusal.Of(file.Path, $"{entry} reaches beyond the end of the file: truncated or damaged");
        }
        if (ReadUInt32(header, 0) != LocalSignature || (ReadUInt16(header, 6) & 1) != 0 || ReadUInt16(header, 8) != 0
            || !file.Slice(local + LocalSize, localNameLength).SequenceEqual(rawName))
        {
            throw Refusal.Of(file.Path, $"{entry} has a local header that contradicts the directory: damaged");
        }
        return (name, new StoredEntry(start, length));
    }

    // Extra field 1 holds, in this order, the 64-bit values of those fields that are all ones in the header.
    private static void ReadZip64Sizes(
        MappedFile file, string entry, ReadOnlySpan<byte> extra, ref long length, ref long stored, ref long local)
    {
        if (length != uint.MaxValue && stored != uint.MaxValue && local != uint.MaxValue) return;
        while (extra.Length >= 4)
        {
            (int id, int size) = (ReadUInt16(extra, 0), ReadUInt16(extra, 2));
            if (size > extra.Length - 4) break;
            if (id == 1)
            {
                ReadOnlySpan<byte> values = extra.Slice(4, size);
                if (Next(ref length, ref values) && Next(ref stored, ref values) && Next(ref local, ref values)) return;
                break;
            }
            extra = extra[(4 + size)..];
        }
        throw Refusal.Of(file.Path, $"{entry} lacks its zip64 sizes: damaged");

        static bool Next(ref long field, ref ReadOnlySpan<byte> values)
        {
            if (field != uint.MaxValue) return true;
            if (values.Length < 8) return false;
            field = ReadInt64(values, 0);
            values = values[8..];
            return true;
        }
    }

    private static ushort ReadUInt16(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt16LittleEndian(bytes[at..]);

    private static uint ReadUInt32(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[at..]);

    private static long ReadInt64(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadInt64LittleEndian(bytes[at..]);
}
