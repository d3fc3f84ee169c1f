using LlavaSp.Checkpoints;

namespace LlavaSp.Tests.Checkpoints;

/// <summary>Pickles that nobody should load.</summary>
public sealed class UnpicklerTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("os", "system")]
    [InlineData("posix", "system")]
    [InlineData("builtins", "eval")]
    [InlineData("__builtin__", "getattr")]
    [InlineData("torch", "load")]
    [InlineData("torch._utils", "_rebuild_sparse_tensor")]
    [InlineData("torch", "ComplexFloatStorage")]
    [InlineData("torch.jit", "x\u001b[2J")]
    public void A_global_that_is_no_data_is_refused_by_name(string module, string name)
    {
        string full = $"'{module}.{name.Replace("\u001b", @"\u001b", StringComparison.Ordinal)}'";
        Refused(new PickleBuilder().Global(module, name).Op("(").Text("touch /tmp/pwned").Op("tR."), full, "nothing was executed");
        Refused(new PickleBuilder().Text(module).Text(name).Raw(0x93).Op("."), full, "nothing was executed");
    }

    [Theory]
    [InlineData("i(os\nsystem\n.", "opcode 0x69")] // INST
    [InlineData("o.", "opcode 0x6f")] // OBJ
    [InlineData("\u0081.", "opcode 0x81")] // NEWOBJ
    [InlineData("\u0092.", "opcode 0x92")] // NEWOBJ_EX
    [InlineData("\u0082\u0001.", "opcode 0x82")] // EXT1
    [InlineData("Pid\n.", "opcode 0x50")] // PERSID
    [InlineData("I1\n.", "opcode 0x49")] // protocol 0
    [InlineData("\u0097.", "opcode 0x97")] // NEXT_BUFFER
    [InlineData("\u00ff", "opcode 0xff")]
    [InlineData("", "truncated")]
    [InlineData(".", "stack is empty")]
    [InlineData("N0.", "stack is empty")]
    [InlineData("NN.", "left over")]
    [InlineData("(N.", "left over")]
    [InlineData("t.", "no mark")]
    [InlineData("1.", "no mark")]
    [InlineData("N(\u0085.", "stack is empty")]
    [InlineData("NR.", "stack is empty")]
    [InlineData("h\u0000.", "memo 0 was never stored")]
    [InlineData("j\u00ff\u00ff\u00ff\u00ff.", "memo 4294967295 was never stored")]
    [InlineData("q\u0000.", "stack is empty")]
    [InlineData("\u0094.", "stack is empty")]
    [InlineData("}(Nu.", "key without a value")]
    [InlineData("(Nd.", "key without a value")]
    [InlineData("N(NNu.", "not a dictionary")]
    [InlineData("N(NNe.", "not a list")]
    [InlineData("NNa.", "not a list")]
    [InlineData("NNNs.", "not a dictionary")]
    [InlineData("NNb.", "not a dictionary")]
    [InlineData("NQ.", "persistent id")]
    [InlineData("NN\u0093.", "not text")]
    [InlineData("NNR.", "not a known global")]
    [InlineData("N)R.", "not a known global")]
    [InlineData("ctorch._utils\n_rebuild_tensor_v2\n)R.", "with arguments that torch.save never writes")]
    [InlineData("ctorch._utils\n_rebuild_parameter\n)R.", "with arguments that torch.save never writes")]
    [InlineData("ctorch\nFloatStorage\n)R.", "calls torch.FloatStorage")]
    [InlineData("cno newline", "truncated")]
    [InlineData("X\u00ff\u00ff\u00ff\u00ffa.", "truncated")]
    [InlineData("\u008d\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u00ffa.", "truncated")]
    [InlineData("\u008b\u00ff\u00ff\u00ff\u00ff.", "truncated")]
    [InlineData("\u0095\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff.", "a frame reaches beyond the end")]
    [InlineData("X\u0001\u0000\u0000\u0000\u00ff.", "not UTF-8")]
    [InlineData("\u0080\u0002N.", "protocol 2")] // PROTO a second time
    [InlineData("]q\u0000h\u0000a.", "contains itself")]
    [InlineData("}q\u0000X\u0005\u0000\u0000\u0000modelh\u0000s.", "contains itself")]
    [InlineData("}q\u0000(X\u0001\u0000\u0000\u0000a](h\u0000\u0085eu.", "contains itself")]
    [InlineData("N.", "something else than a dictionary")]
    [InlineData("].", "something else than a dictionary")]
    [InlineData("}X\u0001\u0000\u0000\u0000aNs.", "no tensors")]
    public void Damaged_pickles_are_refused(string opcodes, string part) => Refused(new PickleBuilder().Op(opcodes), part);

    [Theory]
    [InlineData(new byte[0], "data.pkl")]
    [InlineData(new byte[] { (byte)'N', (byte)'.' }, "protocol 2 or later")]
    [InlineData(new byte[] { 0x80, 1, (byte)'N', (byte)'.' }, "protocol 1")]
    [InlineData(new byte[] { 0x80, 6, (byte)'N', (byte)'.' }, "protocol 6")]
    public void Other_protocols_are_refused(byte[] pickle, string part) => Refused(pickle, [], part);

    [Theory]
    [InlineData("N", "stack is deeper")]
    [InlineData("(", "stack is deeper")]
    [InlineData("N0", "operations")]
    [InlineData("}0", "operations")]
    public void Endless_pickles_are_refused(string repeated, string part) =>
        Refused(new PickleBuilder().Op(string.Concat(Enumerable.Repeat(repeated, 2_000_001 / repeated.Length + 1))), part);

    [Fact]
    public void An_endless_memo_is_refused()
    {
        PickleBuilder pickle = new PickleBuilder().Op("N");
        for (int i = 0; i <= 1_000_001; i++) pickle.Raw(0x94);
        Refused(pickle, "memo has more than");
    }

    [Fact]
    public void A_pickle_that_is_too_long_is_refused() => Refused(new byte[Unpickler.MaxLength + 1], [], "more than 33554432");

    [Fact]
    public void Deep_nesting_is_no_stack_overflow()
    {
        // 200,000 tuples in each other, as a value that is not a tensor
        PickleBuilder pickle = new PickleBuilder().Op("}(").Text("deep").Op(")" + string.Concat(Enumerable.Repeat("\u0085", 200_000)));
        pickle.Text("w").Tensor("ByteStorage", 3, 0, [3], [1]).Op("u.");
        using PyTorchFile file = PyTorchFile.Open(_folder.Write("a.bin", ZipBuilder.Torch(pickle.Build(), new byte[3])));
        Assert.Equal(["w"], file.Tensors.Keys);
    }

    [Fact]
    public void Shared_containers_are_no_cycle()
    {
        // lists that hold the one before twice: 2^60 paths, 60 lists
        PickleBuilder pickle = new PickleBuilder().Op("}(").Text("bomb").Op("(]q\u0000");
        for (int i = 0; i < 60; i++) pickle.Op("](h\u0000h\u0000eq\u0000");
        pickle.Op("t").Text("w").Tensor("ByteStorage", 3, 0, [3], [1]).Op("u.");
        using PyTorchFile file = PyTorchFile.Open(_folder.Write("a.bin", ZipBuilder.Torch(pickle.Build(), new byte[3])));
        Assert.Equal(["w"], file.Tensors.Keys);
    }

    [Theory]
    [InlineData("FloatStorage", 2, 0, new long[] { 3 }, new long[] { 1 }, "reaches beyond its storage of 2")]
    [InlineData("FloatStorage", 3, 0, new long[] { 3 }, new long[] { 1 }, "3 F32 elements, the file has 8 bytes")]
    [InlineData("FloatStorage", -1, 0, new long[] { 0 }, new long[] { 1 }, "-1 F32 elements")]
    [InlineData("FloatStorage", long.MaxValue, 0, new long[] { 1 }, new long[] { 1 }, "the file has 8 bytes")]
    [InlineData("FloatStorage", 2, 1, new long[] { 2 }, new long[] { 1 }, "reaches beyond")]
    [InlineData("FloatStorage", 2, -1, new long[] { 2 }, new long[] { 1 }, "negative")]
    [InlineData("FloatStorage", 2, 0, new long[] { 2 }, new long[] { -1 }, "negative")]
    [InlineData("FloatStorage", 2, 0, new long[] { -2 }, new long[] { 1 }, "63 bits")]
    [InlineData("FloatStorage", 2, 0, new long[] { 1L << 32, 1L << 32 }, new long[] { 0, 0 }, "63 bits")]
    [InlineData("FloatStorage", 2, 0, new long[] { 2, 1L << 40 }, new long[] { 1, 0 }, "expanded view")]
    [InlineData("FloatStorage", 2, 0, new long[] { 2 }, new long[] { long.MaxValue }, "reaches beyond")]
    [InlineData("FloatStorage", 2, long.MaxValue, new long[] { 2 }, new long[] { long.MaxValue }, "reaches beyond")]
    [InlineData("FloatStorage", 2, 0, new long[] { 2 }, new long[] { 1, 1 }, "2 strides for 1 dimensions")]
    public void A_tensor_that_does_not_fit_its_storage_is_refused(string type, long elements, long offset, long[] shape, long[] strides, string part) =>
        Refused(PickleBuilder.OneTensor(type, elements, offset, shape, strides), [new byte[8]], "tensor 'w'", part);

    [Fact]
    public void A_tensor_without_its_storage_or_name_is_refused()
    {
        Refused(PickleBuilder.OneTensor("ByteStorage", 1, 0, [1], [1], key: "7\n"), [new byte[1]], "tensor 'w'", @"'data/7\u000a' is not in the file");
        Refused(new PickleBuilder().Op("}(").Text("").Tensor("ByteStorage", 1, 0, [1], [1]).Op("u.").Build(), [new byte[1]], "has no name");
        Refused(new PickleBuilder().Op("}(K\u0001").Tensor("ByteStorage", 1, 0, [1], [1]).Op("u.").Build(), [new byte[1]], "has no name");
        PickleBuilder twice = new PickleBuilder().Op("}(").Text("w").Tensor("ByteStorage", 1, 0, [1], [1]).Text("w").Tensor("ByteStorage", 1, 0, [1], [1]);
        Refused(twice.Op("u.").Build(), [new byte[1]], "'w' is there twice");
    }

    [Fact]
    public void Wrappers_have_an_end()
    {
        PickleBuilder pickle = new PickleBuilder().Op("}");
        for (int i = 0; i < 6; i++) pickle.Text("model").Op("}");
        Refused(pickle.Op("ssssss."), "more than 4 times");
    }

    [Fact]
    public void A_valid_pickle_cut_at_every_byte_is_refused()
    {
        byte[] pickle = PickleBuilder.OneTensor("ByteStorage", 3, 0, [3], [1]);
        for (int length = 0; length < pickle.Length; length++) Refused(pickle[..length], [new byte[3]], "data.pkl");
    }

    [Fact]
    public void A_valid_pickle_with_any_bit_flipped_never_does_anything_else_than_load_or_be_refused()
    {
        byte[] pickle = PickleBuilder.OneTensor("ByteStorage", 3, 0, [3], [1]);
        for (int bit = 0; bit < pickle.Length * 8; bit++)
        {
            byte[] flipped = [.. pickle];
            flipped[bit / 8] ^= (byte)(1 << bit % 8);
            CheckpointFiles.OpenAndReadAll(PyTorchFile.Open, _folder.Write("a.bin", ZipBuilder.Torch(flipped, new byte[3])));
        }
    }

    private void Refused(PickleBuilder pickle, params string[] parts) => Refused(pickle.Build(), [], parts);

    private void Refused(byte[] pickle, byte[][] storages, params string[] parts)
    {
        string path = _folder.Write("a.bin", ZipBuilder.Torch(pickle, storages));
        CheckpointFiles.Refuses(() => PyTorchFile.Open(path).Dispose(), [path, .. parts]);
    }
}
