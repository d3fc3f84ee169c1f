using System.Buffers.Binary;
using System.Text;

namespace LlavaSp.Tests.Checkpoints;

/// <summary>Writes pickles opcode by opcode, honest ones and others.</summary>
internal sealed class PickleBuilder
{
    private readonly List<byte> _bytes = [0x80, 2];

    /// <summary>A pickle of a dictionary with one tensor "w" over storage 0.</summary>
    public static byte[] OneTensor(string storage, long elements, long offset, long[] shape, long[] strides, string key = "0") =>
        new PickleBuilder().Op("}(").Text("w").Tensor(storage, elements, offset, shape, strides, key).Op("u.").Build();

    public byte[] Build() => [.. _bytes];

    public PickleBuilder Op(string opcodes) => Raw(Encoding.Latin1.GetBytes(opcodes));

    public PickleBuilder Raw(params byte[] bytes)
    {
        _bytes.AddRange(bytes);
        return this;
    }

    public PickleBuilder Text(string text)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        return Op("X").Number(utf8.Length, 4).Raw(utf8);
    }

    public PickleBuilder Integer(long value) => Raw(0x8a, 8).Number(value, 8);

    public PickleBuilder Global(string module, string name) => Op($"c{module}\n{name}\n");

    public PickleBuilder Tuple(params long[] values)
    {
        Op("(");
        foreach (long value in values) Integer(value);
        return Op("t");
    }

    public PickleBuilder Storage(string type, string key, long elements) =>
        Op("(").Text("storage").Global("torch", type).Text(key).Text("cpu").Integer(elements).Op("tQ");

    public PickleBuilder Tensor(string storage, long elements, long offset, long[] shape, long[] strides, string key = "0") =>
        Global("torch._utils", "_rebuild_tensor_v2").Op("(").Storage(storage, key, elements).Integer(offset).Tuple(shape).Tuple(strides)
            .Raw(0x89).Global("collections", "OrderedDict").Op(")RtR");

    private PickleBuilder Number(long value, int size)
    {
        byte[] bytes = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, value);
        return Raw(bytes[..size]);
    }
}
