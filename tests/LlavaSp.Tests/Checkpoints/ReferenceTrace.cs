using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Generation;
using LlavaSp.Imaging;
using LlavaSp.Quantization;
using LlavaSp.Text;

namespace LlavaSp.Tests.Checkpoints;

/// <summary>What the reference backend computes from a checkpoint, as bytes by tensor name: two checkpoints are the same when all bytes are.</summary>
internal static class ReferenceTrace
{
    private static readonly int[] PromptIds = [1, 37, -200, 120, 7, 301];

    public static Dictionary<string, byte[]> Of(string folder, WeightFormat? weights = null, string? visionTower = null)
    {
        using ModelCheckpoint checkpoint = ModelCheckpoint.Open(new ModelLocation(folder, null, visionTower));
        return Of(checkpoint, weights);
    }

    public static Dictionary<string, byte[]> Of(ModelCheckpoint checkpoint, WeightFormat? weights = null)
    {
        LlavaTokenizer? noTokenizer = null;
        var options = new LoadOptions { Device = new DeviceOptions("reference"), KvFormat = KvFormat.F32, Weights = weights };
        using LlavaSpModel model = LlavaSpModel.Load(checkpoint, noTokenizer, options, 0);
        var trace = new TraceFile();
        ModelTracer.Run(model, PromptIds, [model.Prepare(ImageDecoder.Decode(Goldens.Image('c')))], 2, trace);
        using var folder = new TemporaryFolder();
        trace.Save(folder["trace.safetensors"]);
        using SafetensorsFile file = SafetensorsFile.Open(folder["trace.safetensors"]);
        return file.Tensors.Keys.ToDictionary(name => name, name => file.GetBytes(name).ToArray());
    }

    public static void AssertEqual(Dictionary<string, byte[]> expected, Dictionary<string, byte[]> actual)
    {
        Assert.Equal(expected.Keys.Order(StringComparer.Ordinal), actual.Keys.Order(StringComparer.Ordinal));
        Assert.Contains("logits", expected.Keys);
        foreach ((string name, byte[] bytes) in expected)
            Assert.True(bytes.AsSpan().SequenceEqual(actual[name]), $"{name}: the two checkpoints do not give the same numbers");
    }
}
