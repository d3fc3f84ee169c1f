using System.Buffers.Binary;
using System.Text;
using LlavaSp.Checkpoints;

namespace LlavaSp.Tests.Checkpoints;

/// <summary>A folder of its own for one test, deleted afterwards.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Root { get; } = Directory.CreateTempSubdirectory("llava-sp-test-").FullName;

    public string this[string name] => Path.Combine(Root, name);

    public string Write(string name, ReadOnlySpan<byte> bytes)
    {
        File.WriteAllBytes(this[name], bytes);
        return this[name];
    }

    public string Write(string name, string text) => Write(name, Encoding.UTF8.GetBytes(text));

    public void Dispose() => Directory.Delete(Root, recursive: true);
}

/// <summary>Bytes of checkpoint files, made by hand so that they can break every rule.</summary>
internal static class CheckpointFiles
{
    /// <summary>A safetensors file with this header and so many zero bytes of data.</summary>
    public static byte[] Safetensors(string header, int dataLength) => Safetensors(Encoding.UTF8.GetBytes(header), dataLength);

    public static byte[] Safetensors(byte[] header, int dataLength)
    {
        byte[] file = new byte[8 + header.Length + dataLength];
        BinaryPrimitives.WriteInt64LittleEndian(file, header.Length);
        header.CopyTo(file, 8);
        return file;
    }

    /// <summary>A safetensors file with one U8 tensor of one element for each name.</summary>
    public static byte[] Safetensors(params string[] names)
    {
        IEnumerable<string> entries = names.Select((name, i) => Entry(name, "U8", "1", i, i + 1));
        return Safetensors($"{{{string.Join(',', entries)}}}", names.Length);
    }

    /// <summary>One member of a safetensors header.</summary>
    public static string Entry(string name, string dtype, string shape, long begin, long end) =>
        $"\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":[{shape}],\"data_offsets\":[{begin},{end}]}}";

    /// <summary>Asserts that the call refuses its input with one line that holds all of the parts.</summary>
    public static CheckpointException Refuses(Action open, params string[] parts)
    {
        CheckpointException refusal = Assert.Throws<CheckpointException>(open);
        foreach (string part in parts) Assert.Contains(part, refusal.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(refusal.Message, char.IsControl);
        return refusal;
    }

    /// <summary>Opens and reads everything; the only failure that may come out is a <see cref="CheckpointException"/>.</summary>
    public static void OpenAndReadAll(Func<string, ITensorSource> open, string path)
    {
        try
        {
            using ITensorSource source = open(path);
            foreach (TensorInfo tensor in source.Tensors.Values)
            {
                if (source.GetBytes(tensor.Name).Length != tensor.ByteLength)
                {
                    throw new InvalidDataException($"{tensor.Name} has another length than its shape says");
                }
                source.Evict(tensor.Name);
            }
        }
        catch (CheckpointException refusal) when (!refusal.Message.Any(char.IsControl))
        {
            // what a damaged file should lead to
        }
    }
}
