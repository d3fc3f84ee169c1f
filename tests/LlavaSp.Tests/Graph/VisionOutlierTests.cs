using LlavaSp.Backends;
using LlavaSp.Backends.Cpu;
using LlavaSp.Checkpoints;
using LlavaSp.Graph;
using LlavaSp.Quantization;

namespace LlavaSp.Tests.Graph;

/// <summary>
/// 8-bit weights and activations in the vision tower, on weights that make outliers of a hundred times the other channels: the patch
/// features keep their direction. With one scale for a group and no second term, 0.9987 (groups of 64) and 0.9974 (128) were measured.
/// </summary>
public sealed class VisionOutlierTests(ITestOutputHelper output)
{
    private const int Channels = 512, Layers = 8;

    [Theory]
    [InlineData("int8:64", false)]
    [InlineData("int8:64", true)]
    [InlineData("int8:128", true)]
    public void FeaturesOf8BitsPointWhereThoseOfFloat32Do(string weights, bool outliers)
    {
        float[] expected = Features("f32", outliers, int8Activations: false), actual = Features(weights, outliers, int8Activations: true);
        double worst = 1, mean = 0;
        int rows = expected.Length / Channels;
        for (int row = 0; row < rows; row++)
        {
            double cosine = Cosine(expected.AsSpan(row * Channels, Channels), actual.AsSpan(row * Channels, Channels));
            worst = cosine < worst ? cosine : worst;
            Assert.True(double.IsFinite(cosine));
            mean += cosine / rows;
        }

        output.WriteLine($"{weights}{(outliers ? ", outliers" : "")}: cosine {mean:f6}, of the worst of {rows} patches {worst:f6}");
        Assert.True(worst >= 0.999, $"{worst:f6}");
    }

    private static float[] Features(string weights, bool outliers, bool int8Activations)
    {
        VisionConfig vision = Shapes.Tower(Channels, 4 * Channels, Layers, Channels / 64);
        using ModelCheckpoint tiny = SyntheticModel.Create("tiny", null);
        IEnumerable<LayoutTensor> layout = ModelLayout.Of(
            Shapes.Decoder(64, 64, 0, 1, 1, 64, 16), vision, tiny.Multimodal, new SpatialConfig(null, [], 0, 0, "test"), static k => $"conv_{k}.weight");
        using var catalog = new TensorCatalog();
        catalog.Add(new OutlierTensors(layout, outliers), "test", static _ => true);
        using var backend = new CpuBackend(new CpuBackendOptions(Int8Activations: int8Activations));
        using VisionTower tower = VisionTower.Load(backend, catalog, vision, tiny.Multimodal, WeightPlan.For(WeightFormat.Parse(weights)), allLayers: false);
        var bytes = new byte[3 * 336 * 336];
        new Random(3).NextBytes(bytes);
        using Tensor features = backend.CreateTensor(tower.TokensPerTile, Channels);
        tower.Encode(features, new TilePixels(1, 336, bytes, Enumerable.Range(0, 768).Select(static i => ((i % 256) - 120) / 70f).ToArray()), null);
        return features.ToArray();
    }

    private static double Cosine(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        double product = 0, first = 0, second = 0;
        for (int i = 0; i < a.Length; i++)
        {
            product += (double)a[i] * b[i];
            first += (double)a[i] * a[i];
            second += (double)b[i] * b[i];
        }

        return product / Math.Sqrt(first * second);
    }
}
