using System.Text;

namespace LlavaSp.Tests.Checkpoints;

/// <summary>A zip file as torch.save writes it, or damaged on purpose.</summary>
internal sealed class ZipBuilder
{
    private readonly List<(string Name, byte[] Data)> _entries = [];

    /// <summary>Compression method that the directory and the local headers give.</summary>
    public ushort Method { get; init; }

    /// <summary>General flags; 1 is encrypted.</summary>
    public ushort Flags { get; init; }

    /// <summary>Writes all sizes and places as zip64 does.</summary>
    public bool Zip64 { get; init; }

    /// <summary>Added to each length in the directory.</summary>
    public uint LengthError { get; init; }

    /// <summary>Added to each place of a local header in the directory.</summary>
    public uint PlaceError { get; init; }

    /// <summary>Comment at the end of the file.</summary>
    public string Comment { get; init; } = "";

    /// <summary>A torch file named "archive" with this pickle and these storages (data/0, data/1, …).</summary>
    public static byte[] Torch(byte[] pickle, params byte[][] storages) => new ZipBuilder().AddTorch(pickle, storages).Build();

    public ZipBuilder Add(string name, byte[] data)
    {
        _entries.Add((name, data));
        return this;
    }

    public ZipBuilder AddTorch(byte[] pickle, params byte[][] storages)
    {
        Add("archive/data.pkl", pickle);
        for (int i = 0; i < storages.Length; i++) Add($"archive/data/{i}", storages[i]);
        return this;
    }

    public byte[] Build()
    {
        using MemoryStream stream = new();
        using BinaryWriter file = new(stream);
        List<uint> places = [];
        foreach ((string name, byte[] data) in _entries)
        {
            places.Add((uint)stream.Position);
            file.Write(0x04034b50u);
            file.Write((ushort)20);
            file.Write(Flags);
            file.Write(Method);
            file.Write(new byte[8]); // time, checksum: not read
            file.Write((uint)data.Length);
            file.Write((uint)data.Length);
            file.Write((ushort)name.Length);
            file.Write((ushort)5); // an extra field, as torch pads with
            file.Write(Encoding.ASCII.GetBytes(name));
            file.Write(new byte[] { (byte)'F', (byte)'B', 1, 0, 0 });
            file.Write(data);
        }
        uint directory = (uint)stream.Position;
        for (int i = 0; i < _entries.Count; i++) WriteCentral(file, _entries[i].Name, (uint)_entries[i].Data.Length + LengthError, places[i] + PlaceError);
        WriteEnd(file, directory, (uint)stream.Position - directory);
        return stream.ToArray();
    }

    private void WriteCentral(BinaryWriter file, string name, uint length, uint place)
    {
        file.Write(0x02014b50u);
        file.Write(0x00140014u);
        file.Write(Flags);
        file.Write(Method);
        file.Write(new byte[8]);
        file.Write(Zip64 ? uint.MaxValue : length);
        file.Write(Zip64 ? uint.MaxValue : length);
        file.Write((ushort)name.Length);
        file.Write((ushort)(Zip64 ? 28 : 0));
        file.Write(new byte[10]);
        file.Write(Zip64 ? uint.MaxValue : place);
        file.Write(Encoding.ASCII.GetBytes(name));
        if (!Zip64) return;
        file.Write((ushort)1);
        file.Write((ushort)24);
        file.Write((ulong)length);
        file.Write((ulong)length);
        file.Write((ulong)place);
    }

    private void WriteEnd(BinaryWriter file, uint directory, uint directoryLength)
    {
        long end = file.BaseStream.Position;
        if (Zip64)
        {
            file.Write(0x06064b50u);
            file.Write(44L);
            file.Write(new byte[12]);
            file.Write((long)_entries.Count);
            file.Write((long)_entries.Count);
            file.Write((long)directoryLength);
            file.Write((long)directory);
            file.Write(0x07064b50u);
            file.Write(0u);
            file.Write(end);
            file.Write(1u);
        }
        file.Write(0x06054b50u);
        file.Write(0u);
        ushort count = Zip64 ? ushort.MaxValue : (ushort)_entries.Count;
        file.Write(count);
        file.Write(count);
        file.Write(Zip64 ? uint.MaxValue : directoryLength);
        file.Write(Zip64 ? uint.MaxValue : directory);
        file.Write((ushort)Comment.Length);
        file.Write(Encoding.ASCII.GetBytes(Comment));
    }
}
