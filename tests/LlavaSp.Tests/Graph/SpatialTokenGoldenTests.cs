using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Quantization;
using LlavaSp.Tests.Backends;
using LlavaSp.Tests.Generation;

namespace LlavaSp.Tests.Graph;

/// <summary>The goldens of the spatial tokens that a trace does not reach: crops, and features with a NaN.</summary>
public sealed class SpatialTokenGoldenTests
{
    [Theory]
    [InlineData("reference")]
    [InlineData("cpu")]
    public void TheFusionClearsANaNAndTheProjectorKeepsIt(string device)
    {
        SkipWithout(device);
        using LlavaSpModel model = LlavaSpModel.Load(Goldens.Checkpoint("cropping-f32"), TestModels.Options() with { Device = new DeviceOptions(device) });
        using SafetensorsFile golden = SafetensorsFile.Open(Goldens.Golden("cropping-f32", "features.safetensors"));
        float[] input = TensorComparison.Floats(golden, "nan.patch_features"), expected = TensorComparison.Floats(golden, "nan.image_features");
        Assert.Equal(3, Array.FindIndex(input, float.IsNaN));
        Assert.Equal(1, input.Count(float.IsNaN));

        using Tensor features = CpuTesting.Tensor(model.Backend, 576, 32, input), all = model.Backend.CreateTensor(582, 64);
        model.Encoder.Spatial!.Encode(all.Slice(0, 6), features, 1, null);
        model.Encoder.Projector.Project(all.Slice(6, 576), features);
        float[] actual = all.ToArray();
        Assert.InRange(TensorComparison.Difference(expected, actual), 0, 1e-4f);
        Assert.All(actual[..(6 * 64)], value => Assert.True(float.IsFinite(value)));
        Assert.All(actual[(6 * 64)..(7 * 64)], value => Assert.True(float.IsNaN(value)));
        Assert.All(actual[(7 * 64)..], value => Assert.True(float.IsFinite(value)));
    }

    [Theory]
    [InlineData("reference", "cropping-f32")]
    [InlineData("reference", "cropping-lora")]
    [InlineData("cpu", "cropping-f32")]
    public void CropsBeginAndEndAtTheGoldenCells(string device, string checkpoint)
    {
        SkipWithout(device);
        using IBackend backend = BackendFactory.Create(new DeviceOptions(device));
        using SafetensorsFile golden = SafetensorsFile.Open(Goldens.Golden(checkpoint, "features.safetensors"));
        const int Channels = 32;
        using Tensor features = CpuTesting.Tensor(backend, 576, Channels, TensorComparison.Floats(golden, "a.vision.patch_features"));
        foreach (int k in (int[])[4, 8, 12, 16, 20, 24])
        {
            // A kernel that copies: outputs 0 … 31 are the channels of the first cell, 32 … 63 those of the last.
            int columns = k * k * Channels;
            var kernel = new float[2 * Channels * columns];
            for (int c = 0; c < Channels; c++)
            {
                kernel[c * columns + c] = 1;
                kernel[(Channels + c) * columns + columns - Channels + c] = 1;
            }

            using Weight weight = backend.CreateWeight(new MatrixSource(2 * Channels, columns, kernel), WeightFormat.F32);
            using Tensor token = backend.CreateTensor(1, 2 * Channels);
            backend.SpatialTokens(token, features, 1, SpatialMode.Cropping, [new SpatialConvolution(k, weight)], null);
            Assert.InRange(TensorComparison.Difference(TensorComparison.Floats(golden, $"a.sp.crop_corner.{k}"), token.ToArray()), 0, 1e-6f);
        }
    }

    private static void SkipWithout(string device)
    {
        if (device == "cpu") CpuTesting.SkipWithoutLibrary();
    }
}
