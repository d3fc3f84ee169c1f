using Google.Protobuf;

namespace LlavaSp.Peers.Onnx;

/// <summary>A protobuf message, field by field: the messages of ONNX that are needed here are few.</summary>
internal sealed class ProtoWriter
{
    private readonly List<Action<CodedOutputStream>> _fields = [];

    public ProtoWriter Number(int field, long value) => Add(field, WireFormat.WireType.Varint, output => output.WriteInt64(value));

    public ProtoWriter Number(int field, float value) => Add(field, WireFormat.WireType.Fixed32, output => output.WriteFloat(value));

    public ProtoWriter Text(int field, string value) => Add(field, WireFormat.WireType.LengthDelimited, output => output.WriteString(value));

    public ProtoWriter Message(int field, ProtoWriter value) => Bytes(field, value.ToArray());

    public ProtoWriter Bytes(int field, byte[] value) =>
        Add(field, WireFormat.WireType.LengthDelimited, output => output.WriteBytes(ByteString.CopyFrom(value)));

    public byte[] ToArray()
    {
        using var stream = new MemoryStream();
        using var output = new CodedOutputStream(stream);
        foreach (Action<CodedOutputStream> write in _fields) write(output);
        output.Flush();
        return stream.ToArray();
    }

    private ProtoWriter Add(int field, WireFormat.WireType type, Action<CodedOutputStream> value)
    {
        _fields.Add(output =>
        {
            output.WriteTag(field, type);
            value(output);
        });
        return this;
    }
}
