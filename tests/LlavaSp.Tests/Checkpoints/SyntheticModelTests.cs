using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Quantization;

namespace LlavaSp.Tests.Checkpoints;

/// <summary>Random weights of published sizes.</summary>
public sealed class SyntheticModelTests
{
    [Theory]
    [InlineData(null, null)]
    [InlineData(SpatialMode.Pooling, null)]
    [InlineData(SpatialMode.Cropping, null)]
    [InlineData(SpatialMode.Cropping, "int4")]
    public void TheTinyOneRunsLikeACheckpoint(SpatialMode? variant, string? weights)
    {
        using ModelCheckpoint checkpoint = SyntheticModel.Create("tiny", variant);
        Dictionary<string, byte[]> trace = ReferenceTrace.Of(checkpoint, weights is null ? null : WeightFormat.Parse(weights));
        float[] logits = new float[trace["logits"].Length / 4];
        Buffer.BlockCopy(trace["logits"], 0, logits, 0, trace["logits"].Length);
        Assert.Equal((variant is null ? 576 : 582) + 5, logits.Length / 512);
        Assert.All(logits, value => Assert.True(float.IsFinite(value)));
        Assert.True(logits.Distinct().Count() > 1000);
    }

    [Fact]
    public void ShapesAreThoseOfThePublishedModels()
    {
        using ModelCheckpoint small = SyntheticModel.Create("llava-sp-7b", SpatialMode.Pooling), cropping = SyntheticModel.Create("llava-sp-7b", SpatialMode.Cropping);
        using ModelCheckpoint large = SyntheticModel.Create("llava-sp-13b", SpatialMode.Pooling), baseline = SyntheticModel.Create("llava-1.5-7b", null);
        Assert.Equal("[512, 1024, 24, 24]", small.Catalog.Entries["conv_24.weight"].Info.ShapeText);
        Assert.Equal("[512, 1024, 8, 8]", small.Catalog.Entries["conv_8.1.weight"].Info.ShapeText);
        Assert.Equal("[512, 1024, 16, 16]", cropping.Catalog.Entries["conv_CM.weight"].Info.ShapeText);
        Assert.Equal("[4096, 1024]", cropping.Catalog.Entries["conv_linear.1.weight"].Info.ShapeText);
        Assert.Equal("[13824, 5120]", large.Catalog.Entries["model.layers.39.mlp.up_proj.weight"].Info.ShapeText);
        // LLaVA-1.5-7B as published: 6.74 G of Vicuna, 0.30 G of CLIP without its text model, 0.02 G of the projector.
        Assert.Equal(7_062_902_784, Elements(baseline));
        // The six convolutions hold 763 M parameters at 7B, conv_CM 134 M.
        Assert.Equal(763_363_328, Elements(small) - Elements(baseline) - 512 * 4096);
        Assert.Equal(134_217_728, cropping.Catalog.Entries["conv_CM.weight"].Info.Elements);
        Assert.Equal(WeightFormat.F16, small.StoredFormat);
        Assert.Equal("none", baseline.Spatial.Variant);

        static long Elements(ModelCheckpoint checkpoint) => checkpoint.Catalog.Entries.Values.Sum(entry => entry.Info.Elements);
    }

    [Fact]
    public void UnknownShapesAndVariantsAreRefused()
    {
        LlavaSpException unknown = Assert.Throws<LlavaSpException>(() => SyntheticModel.Create("llava-sp-70b", SpatialMode.Pooling));
        foreach (string shape in SyntheticModel.Shapes) Assert.Contains(shape, unknown.Message, StringComparison.Ordinal);
        LlavaSpException none = Assert.Throws<LlavaSpException>(() => SyntheticModel.Create("llava-1.5-7b", SpatialMode.Cropping));
        Assert.Contains("llava-sp-7b", none.Message, StringComparison.Ordinal);
        foreach (string shape in SyntheticModel.Shapes) SyntheticModel.Create(shape, SyntheticModel.DefaultVariant(shape)).Dispose();
    }

    [Fact]
    public void TensorsShareOneBufferOfSmallFiniteNumbers()
    {
        using var tensors = new SyntheticTensors([("small", [7]), ("middle", [1500, 1000]), ("large", [4000, 1001])], 1);
        using var same = new SyntheticTensors([("large", [4000, 1001])], 1);
        using var other = new SyntheticTensors([("large", [4000, 1001])], 2);
        byte[] small = tensors.GetBytes("small").ToArray(), large = tensors.GetBytes("large").ToArray();
        Assert.Equal(14, small.Length);
        Assert.Equal(small, large[..14]);
        Assert.Equal(tensors.GetBytes("middle").ToArray(), large[..3_000_000]);
        Assert.Equal(same.GetBytes("large").ToArray(), large);
        Assert.False(other.GetBytes("large").SequenceEqual(large));

        float[] values = Floats.Read(tensors, tensors.Tensors["large"]);
        Assert.All(values, value => Assert.True(MathF.Abs(value) < 0.2f));
        Assert.InRange(values.Average(), -1e-4, 1e-4);
        Assert.InRange(Math.Sqrt(values.Average(value => (double)value * value)), 0.0199, 0.0201);
        Assert.NotEqual(values[..1001], values[1001..2002]);
        Assert.Throws<CheckpointException>(() => tensors.GetBytes("none").Length);
        tensors.Dispose();
        Assert.Throws<ObjectDisposedException>(() => tensors.GetBytes("small").Length);
    }
}
