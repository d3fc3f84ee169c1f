using LlavaSp.Checkpoints;

namespace LlavaSp.Tests.Checkpoints;

public sealed class GoldenCheckpointTests
{
    [Theory]
    [InlineData("cropping-f32", "model", 126, DType.F32)]
    [InlineData("cropping-gqa-f16-anyres", "model", 127, DType.F16)]
    [InlineData("cropping-lora-base", "model", 30, DType.F16)]
    [InlineData("cropping-lora", "adapter_model", 42, DType.F32)]
    [InlineData("cropping-lora", "non_lora_trainables", 25, DType.BF16)]
    [InlineData("openai/clip-vit-tiny-patch14-336", "model", 72, DType.F32)]
    [InlineData("pooling-bf16", "model", 112, DType.BF16)]
    [InlineData("pooling-f32", "model", 112, DType.F32)]
    [InlineData("pooling-gqa-sharded-f32-anyres", "model", 113, DType.F32)]
    public void Every_checkpoint_opens_with_all_its_tensors(string checkpoint, string stem, int count, DType dtype)
    {
        using ITensorSource source = TensorFolder.Open(Goldens.Checkpoint(checkpoint), stem);
        Assert.Equal(count, source.Tensors.Count);
        foreach ((string name, TensorInfo info) in source.Tensors)
        {
            Assert.Equal(name, info.Name);
            Assert.Equal(name.EndsWith("position_ids", StringComparison.Ordinal) ? DType.I64 : dtype, info.DType);
            Assert.Equal(info.ByteLength, source.GetBytes(name).Length);
            source.Evict(name);
        }
    }

    [Theory]
    [InlineData("pooling-f32", "model", "model.embed_tokens.weight", new long[] { 512, 64 })]
    [InlineData("pooling-f32", "model", "model.conv_4.1.weight", new long[] { 16, 32, 4, 4 })]
    [InlineData("cropping-f32", "model", "model.conv_CM.weight", new long[] { 16, 32, 16, 16 })]
    [InlineData("pooling-gqa-sharded-f32-anyres", "model", "model.conv_24.weight", new long[] { 16, 32, 24, 24 })]
    [InlineData("pooling-gqa-sharded-f32-anyres", "model", "model.layers.0.self_attn.k_proj.weight", new long[] { 32, 64 })]
    [InlineData("openai/clip-vit-tiny-patch14-336", "model", "vision_model.embeddings.patch_embedding.weight", new long[] { 32, 3, 14, 14 })]
    public void Shapes_are_those_of_the_model(string checkpoint, string stem, string name, long[] shape)
    {
        using ITensorSource source = TensorFolder.Open(Goldens.Checkpoint(checkpoint), stem);
        Assert.Equal(shape, source.Tensors[name].Shape);
    }

    [Fact]
    public void The_pytorch_file_equals_its_safetensors_twin()
    {
        using PyTorchFile torch = PyTorchFile.Open(Path.Combine(Goldens.Checkpoint("cropping-lora"), "non_lora_trainables.bin"));
        using SafetensorsFile safe = SafetensorsFile.Open(Path.Combine(Goldens.Checkpoint("cropping-lora"), "non_lora_trainables.safetensors"));
        Assert.Equal(25, torch.Tensors.Count);
        Assert.Equal(safe.Tensors.Keys.Order(), torch.Tensors.Keys.Order());
        foreach ((string name, TensorInfo info) in torch.Tensors)
        {
            Assert.Equal(safe.Tensors[name].DType, info.DType);
            Assert.Equal(safe.Tensors[name].Shape, info.Shape);
            Assert.True(torch.GetBytes(name).SequenceEqual(safe.GetBytes(name)), name);
        }
    }

    [Fact]
    public void Every_golden_tensor_file_opens()
    {
        string[] files = Directory.GetFiles(Goldens.Golden(), "*.safetensors", SearchOption.AllDirectories);
        Assert.NotEmpty(files);
        foreach (string path in files)
        {
            using SafetensorsFile file = SafetensorsFile.Open(path);
            Assert.NotEmpty(file.Tensors);
        }
    }
}
