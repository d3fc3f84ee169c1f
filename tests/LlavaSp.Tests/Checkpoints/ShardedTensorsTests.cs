using LlavaSp.Checkpoints;

namespace LlavaSp.Tests.Checkpoints;

public sealed class ShardedTensorsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public ShardedTensorsTests()
    {
        _folder.Write("one.safetensors", CheckpointFiles.Safetensors("a", "b"));
        _folder.Write("two.safetensors", CheckpointFiles.Safetensors("c"));
        _folder.Write("b-again.safetensors", CheckpointFiles.Safetensors("b", "d"));
        _folder.Write("three.bin", ZipBuilder.Torch(PickleBuilder.OneTensor("ByteStorage", 1, 0, [1], [1]), [7]));
        _folder.Write("broken.safetensors", "broken");
        _folder.Write("other.txt", "text");
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Joins_the_shards_of_both_formats()
    {
        ShardedTensors tensors = Open("""
            {"metadata":{"total_size":4,"deep":[{"a":[1]}]},
             "weight_map":{"c":"two.safetensors","a":"one.safetensors","b":"one.safetensors","w":"three.bin"}}
            """);
        Assert.Equal(["c", "a", "b", "w"], tensors.Tensors.Keys);
        Assert.Equal([7], tensors.GetBytes("w").ToArray());
        Assert.Equal(1, tensors.GetBytes("b").Length);
        tensors.Evict("c");
        CheckpointFiles.Refuses(() => tensors.GetBytes("x"), "index.json", "no tensor 'x'");
        tensors.Dispose();
        tensors.Dispose();
        Assert.Throws<ObjectDisposedException>(() => tensors.GetBytes("a").Length);
        Assert.Throws<ObjectDisposedException>(() => tensors.Evict("a"));
    }

    [Theory]
    [InlineData("", "is empty")]
    [InlineData("[]", "not a JSON object")]
    [InlineData("{", "not valid JSON")]
    [InlineData("{\"weight_map\":{}} x", "not valid JSON")]
    [InlineData("{}", "no weight_map")]
    [InlineData("""{"metadata":{}}""", "no weight_map")]
    [InlineData("""{"weight_map":[]}""", "weight_map is not an object")]
    [InlineData("""{"weight_map":{},"weight_map":{}}""", "weight_map twice")]
    [InlineData("""{"weight_map":{"a":1}}""", "'a' is not given a file name")]
    [InlineData("""{"weight_map":{"a":"one.safetensors","a":"two.safetensors"}}""", "has 'a' twice")]
    [InlineData("""{"weight_map":{"\ud800":"one.safetensors"}}""", "not valid Unicode")]
    [InlineData("""{"weight_map":{"a":""}}""", "'a' is in '', which is not a plain file name")]
    [InlineData("""{"weight_map":{"a":".."}}""", "not a plain file name")]
    [InlineData("""{"weight_map":{"a":"../one.safetensors"}}""", "'../one.safetensors', which is not a plain file name")]
    [InlineData("""{"weight_map":{"a":"/etc/passwd"}}""", "'/etc/passwd', which is not a plain file name")]
    [InlineData("""{"weight_map":{"a":"..\\one.safetensors"}}""", "not a plain file name")]
    [InlineData("""{"weight_map":{"a":"C:one.safetensors"}}""", "not a plain file name")]
    [InlineData("""{"weight_map":{"a":"one\u0000.safetensors"}}""", "not a plain file name")]
    [InlineData("""{"weight_map":{"a":"one.safetensors","z":"none.safetensors"}}""", "'none.safetensors' that it lists is missing")]
    [InlineData("""{"weight_map":{"a":"one.safetensors","b":"one.safetensors","z":"two.safetensors"}}""", "'z' is not in 'two.safetensors'")]
    [InlineData("""{"weight_map":{"a":"one.safetensors"}}""", "does not list 1 of the tensors in 'one.safetensors': 'b'")]
    [InlineData("""{"weight_map":{"a":"one.safetensors","b":"one.safetensors","d":"b-again.safetensors"}}""", "'b' is in both 'one.safetensors' and 'b-again.safetensors'")]
    public void Refuses_an_index_that_breaks_a_rule(string index, string part)
    {
        CheckpointException refusal = CheckpointFiles.Refuses(() => Open(index).Dispose(), part);
        Assert.StartsWith(_folder["index.json"], refusal.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("broken.safetensors", "has 6 bytes")]
    [InlineData("other.txt", "neither .safetensors nor .bin")]
    public void Names_the_shard_that_is_damaged(string shard, string part) =>
        CheckpointFiles.Refuses(() => Open($"{{\"weight_map\":{{\"a\":\"{shard}\"}}}}").Dispose(), _folder[shard], part);

    private ShardedTensors Open(string index) => ShardedTensors.Open(_folder.Write("index.json", index));
}
