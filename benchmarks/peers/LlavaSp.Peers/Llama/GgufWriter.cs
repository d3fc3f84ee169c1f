using System.Text;

namespace LlavaSp.Peers.Llama;

/// <summary>Types of tensors in a GGUF file, by the format's own numbers.</summary>
internal enum GgufType
{
    F32 = 0,
    F16 = 1,
    Q4_0 = 2,
    Q8_0 = 8,
    Q6_K = 14,
}

/// <summary>Writes a GGUF file of version 3 with random tensors.</summary>
internal sealed class GgufWriter
{
    private const int Alignment = 32;
    private const uint Version = 3, UInt32 = 4, Int32 = 5, Float32 = 6, Bool = 7, Text = 8, List = 9;

    private readonly List<Action<BinaryWriter>> _metadata = [];
    private readonly List<(string Name, long[] Shape, GgufType Type)> _tensors = [];

    public void Add(string key, uint value) => AddValue(key, UInt32, writer => writer.Write(value));

    public void Add(string key, float value) => AddValue(key, Float32, writer => writer.Write(value));

    public void Add(string key, bool value) => AddValue(key, Bool, writer => writer.Write(value));

    public void Add(string key, string value) => AddValue(key, Text, writer => WriteText(writer, value));

    public void Add(string key, IReadOnlyList<string> values) => AddList(key, Text, values, WriteText);

    public void Add(string key, IReadOnlyList<float> values) => AddList(key, Float32, values, static (writer, value) => writer.Write(value));

    public void Add(string key, IReadOnlyList<int> values) => AddList(key, Int32, values, static (writer, value) => writer.Write(value));

    /// <summary>A tensor; the first dimension is the one that lies together in memory.</summary>
    public void AddTensor(string name, GgufType type, params long[] shape) => _tensors.Add((name, shape, type));

    /// <summary>Writes the file; under its name only once it is complete.</summary>
    public void Write(string path)
    {
        string partial = path + ".partial";
        using (var stream = new FileStream(partial, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 20))
        using (var writer = new BinaryWriter(stream))
        {
            writer.Write("GGUF"u8);
            writer.Write(Version);
            writer.Write((ulong)_tensors.Count);
            writer.Write((ulong)_metadata.Count);
            foreach (Action<BinaryWriter> write in _metadata) write(writer);
            long offset = 0;
            foreach ((string name, long[] shape, GgufType type) in _tensors)
            {
                WriteText(writer, name);
                writer.Write((uint)shape.Length);
                foreach (long size in shape) writer.Write((ulong)size);
                writer.Write((uint)type);
                writer.Write((ulong)offset);
                offset += Aligned(Bytes(shape, type));
            }

            writer.Flush();
            Pad(stream, Aligned(stream.Position) - stream.Position);
            var values = new Dictionary<GgufType, RandomBytes>();
            foreach ((_, long[] shape, GgufType type) in _tensors)
            {
                if (!values.TryGetValue(type, out RandomBytes? random)) values[type] = random = Values(type);
                long bytes = Bytes(shape, type);
                random.Write(stream, bytes);
                Pad(stream, Aligned(bytes) - bytes);
            }
        }

        File.Move(partial, path, true);
    }

    private static RandomBytes Values(GgufType type) => type switch
    {
        GgufType.F32 => RandomBytes.Floats(0.02f, 1),
        GgufType.F16 => RandomBytes.Halves(0.03f),
        GgufType.Q6_K => new RandomBytes(210, 208),
        _ => new RandomBytes((int)BlockOf(type).Bytes, 0),
    };

    private static (long Elements, long Bytes) BlockOf(GgufType type) => type switch
    {
        GgufType.F32 => (1, 4),
        GgufType.F16 => (1, 2),
        GgufType.Q4_0 => (32, 18),
        GgufType.Q8_0 => (32, 34),
        GgufType.Q6_K => (256, 210),
        _ => throw new ArgumentOutOfRangeException(nameof(type)),
    };

    private static long Bytes(long[] shape, GgufType type)
    {
        (long elements, long bytes) = BlockOf(type);
        return shape.Aggregate(1L, (product, size) => product * size) / elements * bytes;
    }

    private static long Aligned(long offset) => (offset + Alignment - 1) / Alignment * Alignment;

    private static void Pad(Stream stream, long bytes) => stream.Write(new byte[bytes]);

    private void AddValue(string key, uint type, Action<BinaryWriter> value) => _metadata.Add(writer =>
    {
        WriteText(writer, key);
        writer.Write(type);
        value(writer);
    });

    private void AddList<T>(string key, uint type, IReadOnlyList<T> values, Action<BinaryWriter, T> write) => AddValue(key, List, writer =>
    {
        writer.Write(type);
        writer.Write((ulong)values.Count);
        foreach (T value in values) write(writer, value);
    });

    private static void WriteText(BinaryWriter writer, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        writer.Write((ulong)bytes.Length);
        writer.Write(bytes);
    }
}
