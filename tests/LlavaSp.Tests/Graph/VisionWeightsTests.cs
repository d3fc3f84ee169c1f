using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Generation;
using LlavaSp.Graph;
using LlavaSp.Imaging;
using LlavaSp.Quantization;
using LlavaSp.Tests.Backends;
using LlavaSp.Tests.Backends.Cuda;

namespace LlavaSp.Tests.Graph;

/// <summary>A vision tower in a format of its own beside the decoder's.</summary>
public sealed class VisionWeightsTests
{
    private const string Checkpoint = "pooling-f32";

    [Fact]
    public void ThePlanChangesThemAlone()
    {
        WeightPlan plain = WeightPlan.For(WeightFormat.Int4()), floats = WeightPlan.For(WeightFormat.Int4(), WeightFormat.F32);
        Assert.Equal(plain with { Vision = WeightFormat.F32, Patches = WeightFormat.F32 }, floats);
        Assert.Equal(WeightFormat.Int8(32), WeightPlan.For(WeightFormat.F16, WeightFormat.Int8(32)).Vision);
        Assert.Equal(WeightFormat.F16, WeightPlan.For(WeightFormat.F16, WeightFormat.Int8(32)).Patches);
        Assert.Throws<LlavaSpException>(static () => WeightPlan.For(WeightFormat.F16, WeightFormat.Int4()));
    }

    /// <summary>float32 patches beside an int4 decoder are those of a float32 model; with 8 bits they are not.</summary>
    [Theory]
    [InlineData("reference")]
    [InlineData("cpu")]
    public void FeaturesAreThoseOfTheirOwnFormat(string device)
    {
        if (device == "cpu") CpuTesting.SkipWithoutLibrary();
        float[] exact = Features(device, WeightFormat.F32, null), mixed = Features(device, WeightFormat.Int4(32), WeightFormat.F32);
        Assert.NotEqual(exact, Features(device, WeightFormat.Int4(32), null));
        Assert.Equal(exact, mixed);
    }

    /// <summary>CUDA's products take one kind of floating-point operand at a time.</summary>
    [Fact]
    public void CudaRefusesWhatItDoesNotHold()
    {
        using (CudaBackend cuda = CudaTesting.Create())
        {
            cuda.UseWeights(WeightFormat.Int4());
            Assert.True(cuda.Holds(WeightFormat.F16) && cuda.Holds(WeightFormat.Int8()));
            Assert.False(cuda.Holds(WeightFormat.F32) || cuda.Holds(WeightFormat.BF16));
            cuda.UseWeights(WeightFormat.BF16);
            Assert.True(cuda.Holds(WeightFormat.BF16) && !cuda.Holds(WeightFormat.F16));
        }

        DeviceException refusal = Assert.Throws<DeviceException>(static () => Features("cuda-emulator", WeightFormat.Int4(32), WeightFormat.F32));
        Assert.Contains("cannot hold f32 vision weights beside int4:32 ones: use f16 or int8", refusal.Message, StringComparison.Ordinal);
    }

    private static float[] Features(string device, WeightFormat weights, WeightFormat? vision)
    {
        using LlavaSpModel model = LlavaSpModel.Load(Goldens.Checkpoint(Checkpoint), new LoadOptions
        {
            Device = new DeviceOptions(device),
            Weights = weights,
            VisionWeights = vision,
            VisionTower = Generation.TestModels.VisionTower,
        });
        Assert.Equal(vision ?? (weights.IsInteger ? WeightFormat.Int8(32) : weights), model.VisionWeights);
        int size = model.Checkpoint.Vision.ImageSize;
        var pixels = new byte[size * size * 3];
        new Random(5).NextBytes(pixels);
        PreparedImage image = model.Prepare(new RgbImage(size, size, pixels));
        using Tensor features = model.Backend.CreateTensor(model.Encoder.Vision.TokensPerTile, model.Checkpoint.Vision.HiddenSize);
        model.Encoder.Vision.Encode(features, image.Pixels, null);
        return features.ToArray();
    }
}
