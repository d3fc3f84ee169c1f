using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace LlavaSp.Tests.Imaging;

/// <summary>The tensors of a trusted safetensors file.</summary>
internal sealed class GoldenTensors(string path)
{
    private readonly byte[] _file = File.ReadAllBytes(path);

    public byte[] Bytes(string name)
    {
        int headerLength = (int)BinaryPrimitives.ReadInt64LittleEndian(_file);
        using JsonDocument header = JsonDocument.Parse(_file.AsMemory(8, headerLength));
        JsonElement offsets = header.RootElement.GetProperty(name).GetProperty("data_offsets");
        return _file[(8 + headerLength + offsets[0].GetInt32())..(8 + headerLength + offsets[1].GetInt32())];
    }

    public float[] Floats(string name) => MemoryMarshal.Cast<byte, float>(Bytes(name)).ToArray();
}
