using LlavaSp.Checkpoints;

namespace LlavaSp.Tests.Checkpoints;

public sealed class TensorFolderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Takes_the_first_of_the_four_files()
    {
        Assert.Null(TensorFolder.TryOpen(_folder.Root, "model"));
        _folder.Write("shard.bin", ZipBuilder.Torch(PickleBuilder.OneTensor("ByteStorage", 1, 0, [1], [1]), [7]));
        _folder.Write("model.bin.index.json", """{"weight_map":{"w":"shard.bin"}}""");
        Opens<ShardedTensors>("w");
        _folder.Write("model.bin", ZipBuilder.Torch(PickleBuilder.OneTensor("ByteStorage", 1, 0, [1], [1]), [7]));
        Opens<PyTorchFile>("w");
        _folder.Write("shard.safetensors", CheckpointFiles.Safetensors("s"));
        _folder.Write("model.safetensors.index.json", """{"weight_map":{"s":"shard.safetensors"}}""");
        Opens<ShardedTensors>("s");
        _folder.Write("model.safetensors", CheckpointFiles.Safetensors("m"));
        Opens<SafetensorsFile>("m");
        Assert.Null(TensorFolder.TryOpen(_folder.Root, "pytorch_model"));
    }

    [Fact]
    public void Says_what_it_looked_for()
    {
        CheckpointFiles.Refuses(() => TensorFolder.Open(_folder.Root, "adapter_model").Dispose(),
            _folder.Root, "adapter_model.safetensors, adapter_model.safetensors.index.json, adapter_model.bin, adapter_model.bin.index.json");
        CheckpointFiles.Refuses(() => TensorFolder.Open(_folder["none"], "model").Dispose(), _folder["none"], "no such folder");
        Assert.Null(TensorFolder.TryOpen(_folder["none"], "model"));
    }

    [Theory]
    [InlineData("model", ".safetensors")]
    [InlineData("pytorch_model", ".bin")]
    public void Shards_without_their_index_are_refused(string stem, string extension)
    {
        _folder.Write($"{stem}-00001-of-00002{extension}", "");
        CheckpointFiles.Refuses(() => TensorFolder.TryOpen(_folder.Root, stem)?.Dispose(),
            $"{stem}-00001-of-00002{extension}", $"index {stem}{extension}.index.json is missing");
    }

    [Fact]
    public void A_damaged_file_is_not_taken_for_a_missing_one()
    {
        _folder.Write("model.safetensors", "");
        CheckpointFiles.Refuses(() => TensorFolder.TryOpen(_folder.Root, "model")?.Dispose(), "model.safetensors", "is empty");
    }

    private void Opens<T>(string tensor)
    {
        using ITensorSource source = TensorFolder.Open(_folder.Root, "model");
        Assert.IsType<T>(source);
        Assert.Equal([tensor], source.Tensors.Keys);
    }
}
