using LlavaSp.Backends;

namespace LlavaSp.Tests.Checkpoints;

/// <summary>Tensors of the decoder that the config does not account for.</summary>
public sealed class UnreadTensorTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("llava-sp-unread-").FullName;

    [Fact]
    public void ADecoderWithMoreLayersThanTheConfigSaysIsRefused()
    {
        foreach (string file in Directory.GetFiles(Goldens.Checkpoint("pooling-f32"))) File.Copy(file, Path.Combine(_folder, Path.GetFileName(file)));
        string config = Path.Combine(_folder, "config.json");
        File.WriteAllText(config, File.ReadAllText(config).Replace("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2", StringComparison.Ordinal));
        var options = new LoadOptions
        {
            Device = new DeviceOptions("reference"),
            VisionTower = Path.Combine(Goldens.Checkpoints, "openai", "clip-vit-tiny-patch14-336"),
        };
        CheckpointException e = Assert.Throws<CheckpointException>(() => LlavaSpModel.Load(_folder, options));
        Assert.Contains("'model.layers.2.", e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
