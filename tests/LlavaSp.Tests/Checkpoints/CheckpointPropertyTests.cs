using CsCheck;
using LlavaSp.Checkpoints;

namespace LlavaSp.Tests.Checkpoints;

/// <summary>
/// Random tensors come back as they went in; random damage leads to a <see cref="CheckpointException"/> and to nothing else.
/// </summary>
public sealed class CheckpointPropertyTests : IDisposable
{
    private static readonly Gen<TensorInfo> s_info = Gen.Select(
        Gen.String[1, 12].Where(name => name != "__metadata__" && !name.Any(char.IsSurrogate)), Gen.Enum<DType>(), Gen.Long[0, 5].Array[0, 4],
        (name, dtype, shape) => new TensorInfo(name, dtype, shape));

    private static readonly Gen<(TensorInfo Info, byte[] Data)[]> s_tensors = Gen
        .SelectMany(s_info, info => Gen.Byte.Array[(int)info.ByteLength].Select(data => (info, data)))
        .Array[0, 6].Select(tensors => tensors.DistinctBy(tensor => tensor.Item1.Name).ToArray());

    // Where damage is done, as a fraction of the file and its header, and what is done there.
    private static readonly Gen<(double Place, byte Value, int Kind)[]> s_damage = Gen.Select(Gen.Double[0, 1], Gen.Byte, Gen.Int[0, 4]).Array[1, 4];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Random_tensors_round_trip() => s_tensors.Sample(tensors =>
    {
        string path = _folder["round-trip.safetensors"];
        Write(path, tensors);
        using SafetensorsFile file = SafetensorsFile.Open(path);
        Assert.Equal(tensors.Select(tensor => tensor.Info.Name), file.Tensors.Keys);
        foreach ((TensorInfo info, byte[] data) in tensors)
        {
            Assert.Equal(info.DType, file.Tensors[info.Name].DType);
            Assert.Equal(info.Shape, file.Tensors[info.Name].Shape);
            Assert.Equal(data, file.GetBytes(info.Name).ToArray());
        }
    }, iter: 300, threads: 1);

    [Fact]
    public void Random_views_are_what_their_strides_say() =>
        Gen.Select(Gen.Int[0, 3].Array[1, 4], Gen.Int[0, 7].Array[4], Gen.Int[0, 5]).Sample((shape, strides, offset) =>
        {
            byte[] storage = [.. Enumerable.Range(0, 100).Select(i => (byte)i)];
            long[] sizes = [.. shape.Select(size => (long)size)], steps = [.. strides.Take(shape.Length).Select(step => (long)step)];
            string path = _folder.Write("view.bin", ZipBuilder.Torch(PickleBuilder.OneTensor("ByteStorage", 100, offset, sizes, steps), storage));
            using PyTorchFile file = PyTorchFile.Open(path);
            Assert.Equal(Elements(shape, strides, offset), file.GetBytes("w").ToArray());
        }, iter: 300, threads: 1);

    [Fact]
    public void Damaged_safetensors_are_refused_or_read()
    {
        string path = _folder["whole.safetensors"];
        Write(path, [(new("model.a", DType.F32, [2, 3]), new byte[24]), (new("b", DType.BF16, []), new byte[2]), (new("empty", DType.I64, [0]), [])]);
        Damage(SafetensorsFile.Open, File.ReadAllBytes(path), 3000);
    }

    [Theory]
    [InlineData("mixed.bin")]
    [InlineData("mixed-protocol5.bin")]
    [InlineData("views.bin")]
    [InlineData("state_dict.bin")]
    [InlineData("parameters.bin")]
    public void Damaged_pytorch_files_are_refused_or_read(string name) =>
        Damage(PyTorchFile.Open, File.ReadAllBytes(PyTorchFileTests.Sample(name)), 1500);

    [Fact]
    public void Damaged_indexes_are_refused_or_read()
    {
        _folder.Write("one.safetensors", CheckpointFiles.Safetensors("a", "b"));
        Damage(ShardedTensors.Open, """{"metadata":{"total_size":2},"weight_map":{"a":"one.safetensors","b":"one.safetensors"}}"""u8.ToArray(), 1500);
    }

    [Fact]
    public void Every_truncation_of_a_safetensors_file_is_refused()
    {
        string path = _folder["whole.safetensors"];
        Write(path, [(new("a", DType.F32, [2, 3]), new byte[24]), (new("b", DType.U8, [5]), new byte[5])]);
        byte[] whole = File.ReadAllBytes(path);
        for (int length = 0; length < whole.Length; length++)
        {
            string cut = _folder.Write("cut.safetensors", whole.AsSpan(0, length));
            CheckpointFiles.Refuses(() => SafetensorsFile.Open(cut).Dispose(), cut);
        }
    }

    private void Damage(Func<string, ITensorSource> open, byte[] whole, int iterations) => s_damage.Sample(damages =>
    {
        List<byte> bytes = [.. whole];
        foreach ((double place, byte value, int kind) in damages)
        {
            int at = (int)(place * Math.Max(bytes.Count - 1, 0));
            if (bytes.Count == 0) break;
            if (kind == 0) bytes[at] = value;
            else if (kind == 1) bytes[at] ^= (byte)(1 << value % 8);
            else if (kind == 2) bytes.Insert(at, value);
            else if (kind == 3) bytes.RemoveAt(at);
            else bytes.RemoveRange(at, bytes.Count - at);
        }
        CheckpointFiles.OpenAndReadAll(open, _folder.Write("damaged", [.. bytes]));
    }, iter: iterations, threads: 1);

    private static void Write(string path, (TensorInfo Info, byte[] Data)[] tensors)
    {
        using SafetensorsWriter writer = SafetensorsWriter.Create(path, [.. tensors.Select(tensor => tensor.Info)]);
        foreach ((TensorInfo info, byte[] data) in tensors)
        {
            writer.Begin(info.Name);
            writer.Write(data);
        }
        writer.Complete();
    }

    // Written the slow way round, to be sure of it: every index in row-major order.
    private static byte[] Elements(int[] shape, int[] strides, int offset)
    {
        IEnumerable<int> places = [offset];
        for (int axis = 0; axis < shape.Length; axis++)
        {
            (int size, int stride) = (shape[axis], strides[axis]);
            places = [.. places.SelectMany(place => Enumerable.Range(0, size).Select(i => place + i * stride))];
        }
        return [.. places.Select(place => (byte)place)];
    }
}
