using System.Runtime.InteropServices;
using LlavaSp.Checkpoints;

namespace LlavaSp.Tests.Checkpoints;

public sealed class SafetensorsFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    // the JSON itself
    [InlineData("", 0, "not valid JSON")]
    [InlineData("[]", 0, "not a JSON object")]
    [InlineData("{", 0, "not valid JSON")]
    [InlineData("{} x", 0, "not valid JSON")]
    [InlineData("{}{}", 0, "not valid JSON")]
    [InlineData("{\"a\":{\"dtype\":[[[[[[[[[", 0, "dtype is not a string", "'a'")]
    [InlineData("{\"\\ud800\":1}", 0, "surrogate")]
    // names
    [InlineData("""{"":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}""", 1, "empty name")]
    [InlineData("""{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}""", 2, "'a' is there twice")]
    [InlineData("""{"\u0061":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}""", 2, "'a' is there twice")]
    [InlineData("""{"line\nbreak\u001b[2J":1}""", 0, @"'line\u000abreak\u001b[2J'")]
    // metadata
    [InlineData("""{"__metadata__":1}""", 0, "__metadata__ is not an object")]
    [InlineData("""{"__metadata__":null}""", 0, "__metadata__ is not an object")]
    [InlineData("""{"__metadata__":{"k":1}}""", 0, "__metadata__ 'k' is not a string")]
    [InlineData("""{"__metadata__":{"k":"","k":""}}""", 0, "__metadata__ has 'k' twice")]
    [InlineData("""{"__metadata__":{},"__metadata__":{}}""", 0, "__metadata__ twice")]
    // fields
    [InlineData("""{"a":1}""", 0, "'a' is not described by an object")]
    [InlineData("""{"a":{}}""", 0, "'a' has no dtype")]
    [InlineData("""{"a":{"dtype":"U8","data_offsets":[0,0]}}""", 0, "'a' has no shape")]
    [InlineData("""{"a":{"dtype":"U8","shape":[0]}}""", 0, "'a' has no data_offsets")]
    [InlineData("""{"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}""", 0, "'a' has dtype twice")]
    [InlineData("""{"a":{"dtype":"U8","shape":[0],"shape":[0],"data_offsets":[0,0]}}""", 0, "'a' has shape twice")]
    [InlineData("""{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"extra":1}}""", 0, "'a' has an unknown field 'extra'")]
    [InlineData("""{"a":{"dtype":8,"shape":[0],"data_offsets":[0,0]}}""", 0, "'a': dtype is not a string")]
    [InlineData("""{"a":{"dtype":"F8_E4M3","shape":[0],"data_offsets":[0,0]}}""", 0, "'a' has dtype 'F8_E4M3'")]
    [InlineData("""{"a":{"dtype":"f32","shape":[0],"data_offsets":[0,0]}}""", 0, "'a' has dtype 'f32'")]
    // shape
    [InlineData("""{"a":{"dtype":"U8","shape":3,"data_offsets":[0,0]}}""", 0, "'a': shape is not an array")]
    [InlineData("""{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,0]}}""", 0, "'a': shape holds something else")]
    [InlineData("""{"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,0]}}""", 0, "'a': shape holds something else")]
    [InlineData("""{"a":{"dtype":"U8","shape":["1"],"data_offsets":[0,0]}}""", 0, "'a': shape holds something else")]
    [InlineData("""{"a":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,0]}}""", 0, "'a': shape holds something else")]
    [InlineData("""{"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}}""", 0, "'a'", "does not fit 63 bits")]
    [InlineData("""{"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}}""", 0, "'a'", "does not fit 63 bits")]
    // offsets
    [InlineData("""{"a":{"dtype":"U8","shape":[0],"data_offsets":[0]}}""", 0, "'a': data_offsets is not a pair")]
    [InlineData("""{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0,0]}}""", 0, "'a': data_offsets has more than 2")]
    [InlineData("""{"a":{"dtype":"U8","shape":[0],"data_offsets":[1,0]}}""", 1, "'a': data_offsets [1, 0] end before they begin")]
    [InlineData("""{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}""", 1, "'a': data_offsets [0, 2] reach beyond")]
    [InlineData("""{"a":{"dtype":"U8","shape":[2],"data_offsets":[9223372036854775805,9223372036854775807]}}""", 1, "'a'", "reach beyond")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}""", 4, "'a': F32 [2] takes 8 bytes", "hold 4")]
    // coverage
    [InlineData("""{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}""", 3, "'b' overlaps tensor 'a'")]
    [InlineData("""{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"z":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}}""", 2, "'z' overlaps tensor 'a'")]
    [InlineData("""{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}""", 3, "1 bytes before tensor 'b'")]
    [InlineData("""{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}""", 3, "2 bytes at the end")]
    [InlineData("{}", 1, "1 bytes at the end")]
    public void Refuses_a_header_that_breaks_a_rule(string header, int dataLength, params string[] parts)
    {
        string path = _folder.Write("bad.safetensors", CheckpointFiles.Safetensors(header, dataLength));
        CheckpointFiles.Refuses(() => SafetensorsFile.Open(path).Dispose(), [path, .. parts]);
    }

    [Fact]
    public void Refuses_more_dimensions_than_the_limit()
    {
        string shape = string.Join(',', Enumerable.Repeat("1", 65));
        string path = _folder.Write("a", CheckpointFiles.Safetensors($"{{{CheckpointFiles.Entry("a", "U8", shape, 0, 1)}}}", 1));
        CheckpointFiles.Refuses(() => SafetensorsFile.Open(path).Dispose(), "'a': shape has more than 64");
    }

    [Fact]
    public void Refuses_a_header_that_is_not_utf8()
    {
        string path = _folder.Write("a", CheckpointFiles.Safetensors([.. "{\""u8, 0xff, .. "\":1}"u8], 0));
        CheckpointFiles.Refuses(() => SafetensorsFile.Open(path).Dispose(), path, "not UTF-8");
    }

    [Theory]
    [InlineData(new byte[] { 1, 2, 3 }, "has 3 bytes")]
    [InlineData(new byte[] { 3, 0, 0, 0, 0, 0, 0, 0, (byte)'{', (byte)'}' }, "header has 3 bytes but has only 2")]
    [InlineData(new byte[] { 0, 0, 0, 0, 1, 0, 0, 0 }, "more than 100000000")]
    [InlineData(new byte[] { 255, 255, 255, 255, 255, 255, 255, 255 }, "more than 100000000")]
    [InlineData(new byte[0], "is empty")]
    public void Refuses_a_file_whose_length_does_not_fit(byte[] file, string part)
    {
        string path = _folder.Write("a", file);
        CheckpointFiles.Refuses(() => SafetensorsFile.Open(path).Dispose(), path, part);
    }

    [Fact]
    public void Refuses_what_is_no_file()
    {
        CheckpointFiles.Refuses(() => SafetensorsFile.Open(_folder["none"]).Dispose(), _folder["none"], "no such file");
        CheckpointFiles.Refuses(() => SafetensorsFile.Open(_folder.Root).Dispose(), _folder.Root, "is a folder");
        string pointer = _folder.Write("lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
        CheckpointFiles.Refuses(() => SafetensorsFile.Open(pointer).Dispose(), "Git LFS pointer");
    }

    [Fact]
    public void Follows_links_and_refuses_those_to_nowhere_and_devices()
    {
        if (OperatingSystem.IsWindows()) Assert.Skip("links and devices as Unix has them");
        string file = _folder.Write("file", CheckpointFiles.Safetensors("a"));
        File.CreateSymbolicLink(_folder["link"], file);
        using (SafetensorsFile linked = SafetensorsFile.Open(_folder["link"])) Assert.True(linked.Tensors.ContainsKey("a"));
        File.Delete(file);
        CheckpointFiles.Refuses(() => SafetensorsFile.Open(_folder["link"]).Dispose(), "not there");
        CheckpointFiles.Refuses(() => SafetensorsFile.Open("/dev/zero").Dispose(), "not a regular file");
    }

    [Fact]
    public void Reads_scalars_empty_tensors_and_metadata()
    {
        const string header = """
            {"__metadata__":{"format":"pt","note":""},
             "scalar":{"dtype":"F32","shape":[],"data_offsets":[0,4]},
             "empty":{"dtype":"I64","shape":[3,0],"data_offsets":[4,4]},
             "last":{"data_offsets":[4,5],"shape":[1,1],"dtype":"BOOL"}}
            """;
        using SafetensorsFile file = SafetensorsFile.Open(_folder.Write("a", CheckpointFiles.Safetensors(header, 5)));
        Assert.Equal(["empty", "last", "scalar"], file.Tensors.Keys.Order());
        Assert.Equal(4, file.GetBytes("scalar").Length);
        Assert.Equal(0, file.GetBytes("empty").Length);
        Assert.Equal(DType.Bool, file.Tensors["last"].DType);
        Assert.Equal("pt", file.Metadata["format"]);
        Assert.Equal(2, file.Metadata.Count);
        file.Evict("empty");
        CheckpointFiles.Refuses(() => file.GetBytes("other"), "no tensor 'other'");
    }

    [Fact]
    public void Reads_an_empty_file_of_no_tensors()
    {
        using SafetensorsFile file = SafetensorsFile.Open(_folder.Write("a", CheckpointFiles.Safetensors("{}   ", 0)));
        Assert.Empty(file.Tensors);
        Assert.Empty(file.Metadata);
    }

    [Fact]
    public void Refuses_to_show_more_than_2_GiB_at_once_but_opens_the_file()
    {
        const long length = 1L << 31;
        string header = $"{{{CheckpointFiles.Entry("big", "U8", $"{length}", 0, length)},{CheckpointFiles.Entry("next", "U8", "1", length, length + 1)}}}";
        string path = _folder.Write("big", CheckpointFiles.Safetensors(header, 0));
        using (FileStream stream = new(path, FileMode.Open)) stream.SetLength(stream.Length + length + 1); // sparse: takes no space
        using SafetensorsFile file = SafetensorsFile.Open(path);
        CheckpointFiles.Refuses(() => file.GetBytes("big"), path, "'big'", "2 GiB");
        Assert.Equal(1, file.GetBytes("next").Length);
    }

    [Fact]
    public void Bytes_are_the_same_after_eviction()
    {
        byte[] data = new byte[1 << 20];
        new Random(1).NextBytes(data);
        TensorInfo info = new("a", DType.U8, [data.Length]);
        using (SafetensorsWriter writer = SafetensorsWriter.Create(_folder["a"], [info]))
        {
            writer.Begin("a");
            writer.Write(data);
            writer.Complete();
        }
        using SafetensorsFile file = SafetensorsFile.Open(_folder["a"]);
        for (int i = 0; i < 3; i++)
        {
            Assert.True(file.GetBytes("a").SequenceEqual(data));
            file.Evict("a");
        }
    }

    [Fact]
    public void Eviction_gives_memory_back()
    {
        if (!OperatingSystem.IsLinux()) Assert.Skip("eviction is for Linux");
        const int length = 64 << 20;
        string path = _folder.Write("a", CheckpointFiles.Safetensors($"{{{CheckpointFiles.Entry("a", "U8", $"{length}", 0, length)}}}", length));
        using SafetensorsFile file = SafetensorsFile.Open(path);
        // Other tests map files at the same time, so ask for this mapping alone.
        long Resident() => File.ReadLines("/proc/self/smaps").SkipWhile(line => !line.EndsWith(path, StringComparison.Ordinal))
            .Where(line => line.StartsWith("Rss:", StringComparison.Ordinal)).Select(line => long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1])).First();
        long sum = 0;
        foreach (ulong value in MemoryMarshal.Cast<byte, ulong>(file.GetBytes("a"))) sum += (long)value;
        Assert.Equal(0, sum);
        Assert.True(Resident() > length / 2 / 1024);
        file.Evict("a");
        Assert.True(Resident() < length / 16 / 1024);
    }

    [Fact]
    public void Throws_after_disposal()
    {
        SafetensorsFile file = SafetensorsFile.Open(_folder.Write("a", CheckpointFiles.Safetensors("a")));
        file.Dispose();
        file.Dispose();
        Assert.Throws<ObjectDisposedException>(() => file.GetBytes("a").Length);
        Assert.Throws<ObjectDisposedException>(() => file.Evict("a"));
    }
}
