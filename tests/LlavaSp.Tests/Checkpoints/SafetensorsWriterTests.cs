using System.Buffers.Binary;
using LlavaSp.Checkpoints;

namespace LlavaSp.Tests.Checkpoints;

public sealed class SafetensorsWriterTests : IDisposable
{
    private static readonly TensorInfo[] s_tensors = [new("a", DType.F32, [2, 3]), new("empty", DType.I8, [0]), new("b", DType.U8, [])];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(100)]
    public void What_is_written_in_chunks_is_read_back(int chunk)
    {
        byte[] a = [.. Enumerable.Range(1, 24).Select(i => (byte)i)];
        using (SafetensorsWriter writer = SafetensorsWriter.Create(_folder["m"], s_tensors, new Dictionary<string, string> { ["format"] = "pt", ["ü\"\n"] = "<&>" }))
        {
            writer.Begin("a");
            foreach (byte[] part in a.Chunk(chunk)) writer.Write(part);
            writer.Begin("empty");
            writer.Begin("b");
            writer.Write([42]);
            Assert.False(File.Exists(_folder["m"]));
            writer.Complete();
        }
        Assert.Equal([_folder["m"]], Directory.GetFiles(_folder.Root));
        using SafetensorsFile file = SafetensorsFile.Open(_folder["m"]);
        Assert.Equal(["a", "empty", "b"], file.Tensors.Keys);
        Assert.Equal(a, file.GetBytes("a").ToArray());
        Assert.Equal([42], file.GetBytes("b").ToArray());
        Assert.Equal([2L, 3], file.Tensors["a"].Shape);
        Assert.Equal("<&>", file.Metadata["ü\"\n"]);
        Assert.Equal(0, BinaryPrimitives.ReadInt64LittleEndian(File.ReadAllBytes(_folder["m"])) % 8);
    }

    [Fact]
    public void Replaces_the_file_only_when_complete()
    {
        _folder.Write("m", "old");
        using (SafetensorsWriter writer = SafetensorsWriter.Create(_folder["m"], s_tensors))
        {
            writer.Begin("a");
            writer.Write(new byte[10]);
            Assert.Equal(2, Directory.GetFiles(_folder.Root).Length);
        }
        Assert.Equal([_folder["m"]], Directory.GetFiles(_folder.Root));
        Assert.Equal("old", File.ReadAllText(_folder["m"]));

        using (SafetensorsWriter writer = SafetensorsWriter.Create(_folder["m"], [])) writer.Complete();
        using SafetensorsFile file = SafetensorsFile.Open(_folder["m"]);
        Assert.Empty(file.Tensors);
    }

    [Fact]
    public void Misuse_is_named()
    {
        using SafetensorsWriter writer = SafetensorsWriter.Create(_folder["m"], s_tensors);
        Assert.Throws<InvalidOperationException>(() => writer.Write(new byte[1]));
        Assert.Throws<InvalidOperationException>(() => writer.Begin("b"));
        writer.Begin("a");
        Assert.Throws<InvalidOperationException>(() => writer.Write(new byte[25]));
        writer.Write(new byte[20]);
        Assert.Throws<InvalidOperationException>(() => writer.Begin("empty"));
        Assert.Throws<InvalidOperationException>(writer.Complete);
        writer.Write(new byte[4]);
        Assert.Throws<InvalidOperationException>(writer.Complete);
        writer.Begin("empty");
        writer.Begin("b");
        writer.Write(new byte[1]);
        Assert.Throws<InvalidOperationException>(() => writer.Begin("c"));
        writer.Complete();
        Assert.Throws<ObjectDisposedException>(() => writer.Begin("c"));
    }

    [Fact]
    public void Impossible_declarations_are_refused_before_anything_is_written()
    {
        void Refused(params TensorInfo[] tensors) => Assert.Throws<ArgumentException>(() => SafetensorsWriter.Create(_folder["m"], tensors).Dispose());
        Refused(new TensorInfo("", DType.U8, []));
        Refused(new TensorInfo("__metadata__", DType.U8, []));
        Refused(new TensorInfo("a", DType.U8, []), new TensorInfo("a", DType.U8, []));
        Refused(new TensorInfo("a", DType.U8, [-1]));
        Refused(new TensorInfo("a", DType.F64, [1L << 60]));
        Refused(new TensorInfo("a", DType.U8, [.. Enumerable.Repeat(1L, 65)]));
        Assert.Empty(Directory.GetFiles(_folder.Root));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(300)]
    [InlineData(int.MaxValue)]
    public void A_full_disk_is_said_in_one_line_and_leaves_nothing(int capacity)
    {
        LlavaSpException refusal = Assert.Throws<LlavaSpException>(() =>
        {
            using SafetensorsWriter writer = SafetensorsWriter.Create(_folder["m"], s_tensors, null, (path, _) => new FullDisk(path, capacity));
            writer.Begin("a");
            writer.Write(new byte[24]);
            writer.Begin("empty");
            writer.Begin("b");
            writer.Write(new byte[1]);
            writer.Complete();
        });
        Assert.Contains(_folder["m"], refusal.Message, StringComparison.Ordinal);
        Assert.Contains("No space left", refusal.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(refusal.Message, char.IsControl);
        Assert.Empty(Directory.GetFiles(_folder.Root));
    }

    [Fact]
    public void A_disk_that_is_too_small_says_so_at_once()
    {
        if (!OperatingSystem.IsLinux()) Assert.Skip("the size limit of a file differs elsewhere");
        LlavaSpException refusal = Assert.Throws<LlavaSpException>(() => SafetensorsWriter.Create(_folder["m"], [new("a", DType.U8, [1L << 62])]).Dispose());
        Assert.Contains(_folder["m"], refusal.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(refusal.Message, char.IsControl);
        Assert.Empty(Directory.GetFiles(_folder.Root));
    }

    [Fact]
    public void A_folder_that_is_not_there_is_named()
    {
        string path = Path.Combine(_folder["nowhere"], "m");
        LlavaSpException refusal = Assert.Throws<LlavaSpException>(() => SafetensorsWriter.Create(path, s_tensors).Dispose());
        Assert.Contains(path, refusal.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(refusal.Message, char.IsControl);
    }

    [Fact]
    public void A_name_that_is_taken_by_a_folder_is_named()
    {
        Directory.CreateDirectory(_folder["m"]);
        using SafetensorsWriter writer = SafetensorsWriter.Create(_folder["m"], []);
        LlavaSpException refusal = Assert.Throws<LlavaSpException>(writer.Complete);
        Assert.Contains(_folder["m"], refusal.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(_folder.Root));
    }

    /// <summary>A file that takes so many bytes and then fails as a full disk does: at a write, or not before the flush.</summary>
    private sealed class FullDisk(string path, int capacity) : FileStream(path, FileMode.CreateNew)
    {
        private long _written;

        public override void Write(ReadOnlySpan<byte> buffer) => Write(buffer.ToArray(), 0, buffer.Length);

        public override void Write(byte[] buffer, int offset, int count)
        {
            if (_written + count > capacity) throw Full();
            _written += count;
            base.Write(buffer, offset, count);
        }

        public override void Flush(bool flushToDisk)
        {
            if (flushToDisk) throw Full();
            base.Flush(flushToDisk);
        }

        private static IOException Full() => new("No space left on device");
    }
}
