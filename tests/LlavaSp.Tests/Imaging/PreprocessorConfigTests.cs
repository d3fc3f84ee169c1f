using System.Text;
using CsCheck;
using LlavaSp.Imaging;

namespace LlavaSp.Tests.Imaging;

public sealed class PreprocessorConfigTests
{
    [Theory]
    [InlineData("""{"size": 336, "crop_size": 224}""", 336, 224)]
    [InlineData("""{"size": {"shortest_edge": 448}, "crop_size": {"height": 336, "width": 336}, "unknown": [1]}""", 448, 336)]
    [InlineData("{}", 224, 224)]
    [InlineData("""{"size": null, "image_mean": null}""", 224, 224)]
    public void SizesAreReadInBothForms(string json, int edge, int crop)
    {
        PreprocessorConfig config = Parse(json);
        Assert.Equal((edge, crop), (config.ShortestEdge, config.CropSize));
        Assert.Equal(PreprocessorConfig.ClipDefault(224).Mean, config.Mean);
        Assert.Equal(1.0 / 255, config.RescaleFactor);
        Assert.True(config is { DoResize: true, DoCenterCrop: true, DoRescale: true, DoNormalize: true });
    }

    [Fact]
    public void EverythingIsRead()
    {
        PreprocessorConfig config = Parse("""
            {"do_resize": false, "do_center_crop": false, "do_rescale": false, "do_normalize": false, "resample": 3,
             "rescale_factor": 0.5, "image_mean": [0, 0.25, 0.5], "image_std": [1, 2, 3]}
            """);
        Assert.False(config.DoResize || config.DoCenterCrop || config.DoRescale || config.DoNormalize);
        Assert.Equal(0.5, config.RescaleFactor);
        Assert.Equal([0, 0.25, 0.5], config.Mean);
        Assert.Equal([1, 2, 3], config.Std);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("""{"size": 0}""")]
    [InlineData("""{"size": -3}""")]
    [InlineData("""{"size": 1e9}""")]
    [InlineData("""{"size": 33.5}""")]
    [InlineData("""{"size": "336"}""")]
    [InlineData("""{"size": {"height": 336, "width": 336}}""")]
    [InlineData("""{"crop_size": {"height": 336, "width": 224}}""")]
    [InlineData("""{"crop_size": {"height": 336}}""")]
    [InlineData("""{"image_mean": [0.5, 0.5]}""")]
    [InlineData("""{"image_mean": 0.5}""")]
    [InlineData("""{"image_mean": [0.5, 0.5, "x"]}""")]
    [InlineData("""{"image_mean": [0.5, 0.5, 1e300]}""")]
    [InlineData("""{"image_std": [0.5, 0.5, 0]}""")]
    [InlineData("""{"image_std": [0.5, 0.5, 1e-320]}""")]
    [InlineData("""{"do_resize": 1}""")]
    [InlineData("""{"resample": 2}""")]
    [InlineData("""{"rescale_factor": 0}""")]
    [InlineData("""{"rescale_factor": 1e999}""")]
    public void WrongConfigsAreRefused(string json)
    {
        var e = Assert.Throws<CheckpointException>(() => Parse(json));
        Assert.StartsWith("preprocessor_config.json: ", e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(100_000)]
    public void ImpossibleImageSizesAreRefused(int size) => Assert.Throws<CheckpointException>(() => PreprocessorConfig.ClipDefault(size));

    [Fact]
    public void DeepNestingIsRefused() =>
        Assert.Throws<CheckpointException>(() => Parse("{\"size\":" + new string('[', 100_000)));

    [Fact]
    public void DamagedConfigsGiveOnlyCheckpointException()
    {
        byte[] json = """{"crop_size": {"height": 336, "width": 336}, "do_resize": true, "image_std": [0.2, 0.3, 0.4], "size": 336, "x": "\u00e9"}"""u8.ToArray();
        Gen.Select(Gen.Int[0, json.Length - 1], Gen.Byte).Array[1, 6].Sample(changes =>
        {
            byte[] damaged = [.. json];
            foreach ((int where, byte value) in changes)
                damaged[where] = value;
            try
            {
                PreprocessorConfig config = PreprocessorConfig.Parse(damaged, "preprocessor_config.json");
                return new ImagePreprocessor(config).Lookup.ToArray().All(float.IsFinite);
            }
            catch (CheckpointException)
            {
                return true;
            }
        }, iter: 5000);
    }

    private static PreprocessorConfig Parse(string json) => PreprocessorConfig.Parse(Encoding.UTF8.GetBytes(json), "preprocessor_config.json");
}
