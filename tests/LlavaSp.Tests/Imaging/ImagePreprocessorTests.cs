using System.Runtime.InteropServices;
using LlavaSp.Checkpoints;
using LlavaSp.Imaging;

namespace LlavaSp.Tests.Imaging;

public sealed class ImagePreprocessorTests
{
    private static readonly SafetensorsFile Golden = SafetensorsFile.Open(Goldens.Golden("preprocess.safetensors"));

    private static readonly GridPinpoints Pinpoints =
        new([(336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008)], 336, "config.json");

    public static TheoryData<string, string, int, int, int, int, string> Cases =>
        [.. TestPictures.Table("pillow.txt").Where(row => row[0] != "resize")
            .Select(row => (row[0], row[1], int.Parse(row[2]), int.Parse(row[3]), int.Parse(row[4]), int.Parse(row[5]), row[6]))];

    [Fact]
    public void LookupIsGolden()
    {
        AssertBitsEqual(GoldenFloats("lut"), new ImagePreprocessor(TinyClip()).Lookup.Span);
        AssertBitsEqual(GoldenFloats("lut"), new ImagePreprocessor(PreprocessorConfig.ClipDefault(336)).Lookup.Span);
    }

    [Theory]
    [InlineData('a', "pad")]
    [InlineData('b', "pad")]
    [InlineData('c', "pad")]
    [InlineData('d', "pad")]
    [InlineData('a', "square")]
    [InlineData('b', "square")]
    [InlineData('a', "anyres")]
    public void TilesAreGolden(char picture, string mode)
    {
        PreparedImage prepared = Prepare(picture, mode);
        Assert.Equal(GoldenBytes($"{picture}.{mode}.u8"), prepared.Pixels.Pixels.ToArray());
        Assert.Equal(336, prepared.Pixels.Size);
        Assert.Equal(mode == "anyres" ? 5 : 1, prepared.Pixels.Tiles);
        Assert.Equal(mode == "anyres" ? (2, 2) : (0, 0), (prepared.GridWidth, prepared.GridHeight));
    }

    [Theory]
    [InlineData('a')]
    [InlineData('b')]
    [InlineData('c')]
    public void PixelValuesAreGoldenBitForBit(char picture) =>
        AssertBitsEqual(GoldenFloats($"{picture}.pad.pixel_values"), Prepare(picture, "pad").ToPixelValues());

    [Fact]
    public void NoAspectRatioIsSquare() =>
        Assert.Equal(GoldenBytes("b.square.u8"), Prepare('b', null).Pixels.Pixels.ToArray());

    [Theory]
    [MemberData(nameof(Cases))]
    public void IsUpstreamWithPillowBitForBit(string mode, string kind, int width, int height, int edge, int crop, string hash)
    {
        PreprocessorConfig config = PreprocessorConfig.ClipDefault(edge) with { CropSize = crop };
        var pinpoints = new GridPinpoints([(crop, 2 * crop), (2 * crop, crop), (2 * crop, 2 * crop), (3 * crop, crop), (crop, 3 * crop)], crop, "config.json");
        PreparedImage prepared = new ImagePreprocessor(config, mode, pinpoints).Prepare(TestPictures.Create(kind, width, height));
        Assert.Equal(crop, prepared.Pixels.Size);
        Assert.Equal((width, height), (prepared.OriginalWidth, prepared.OriginalHeight));
        Assert.Equal(hash, TestPictures.Hash(prepared.Pixels.Pixels.Span));
    }

    [Theory]
    [InlineData(1, 10_000)]
    [InlineData(10_000, 1)]
    [InlineData(1, 65_535)]
    public void ExtremeShapesWork(int width, int height)
    {
        RgbImage picture = TestPictures.Constant(width, height, 10, 20, 30);
        Assert.Equal(122, Prepare(picture, "pad").Pixels.Pixels.Span[0]);
        Assert.Equal([10, 20, 30], Prepare(picture, "square").Pixels.Pixels.ToArray().Distinct());
        Assert.Contains((byte)30, Prepare(picture, "anyres").Pixels.Pixels.ToArray());
    }

    [Fact]
    public void HashTellsPicturesAndOptionsApart()
    {
        string[] hashes =
        [
            .. "abcd".Select(picture => Prepare(picture, "pad").ContentHash),
            Prepare('a', "square").ContentHash,
            Prepare('a', "anyres").ContentHash,
            new ImagePreprocessor(TinyClip() with { Std = [0.25, 0.25, 0.25] }, "pad").Prepare(ImageDecoder.Decode(Goldens.Image('a'))).ContentHash,
            Prepare(TestPictures.Constant(100, 50, 0, 0, 0), "anyres").ContentHash,
            Prepare(TestPictures.Constant(100, 49, 0, 0, 0), "anyres").ContentHash,
        ];
        Assert.Equal(hashes.Length, hashes.Distinct().Count());
        Assert.Equal(hashes[0], Prepare('a', "pad").ContentHash);
    }

    [Fact]
    public void SwitchesOfTheConfigAreHonoured()
    {
        PreprocessorConfig config = PreprocessorConfig.ClipDefault(8) with { DoResize = false };
        RgbImage picture = TestPictures.Create("noise", 8, 6);
        byte[] planes = new ImagePreprocessor(config).Prepare(picture).Pixels.Pixels.ToArray();
        Assert.Equal(new byte[8], planes[..8]);
        Assert.Equal(picture.Pixels[0], planes[8]);

        ReadOnlySpan<float> raw = new ImagePreprocessor(config with { DoRescale = false, DoNormalize = false }).Lookup.Span;
        Assert.Equal(255f, raw[255]);
        ReadOnlySpan<float> rescaled = new ImagePreprocessor(config with { DoNormalize = false }).Lookup.Span;
        Assert.Equal(1f, rescaled[511]);
    }

    [Fact]
    public void WithoutCentreCropOnlySquaresCanComeOut()
    {
        PreprocessorConfig config = PreprocessorConfig.ClipDefault(8) with { DoCenterCrop = false };
        RgbImage picture = TestPictures.Create("noise", 20, 10);
        Assert.Equal(8, new ImagePreprocessor(config, "pad").Prepare(picture).Pixels.Size);
        Assert.Throws<CheckpointException>(() => new ImagePreprocessor(config).Prepare(picture));
    }

    [Fact]
    public void WrongModesAreRefused()
    {
        Assert.Throws<CheckpointException>(() => new ImagePreprocessor(TinyClip(), "anyres_max_9"));
        Assert.Throws<CheckpointException>(() => new ImagePreprocessor(TinyClip(), "anyres"));
        Assert.Throws<CheckpointException>(() => new ImagePreprocessor(PreprocessorConfig.ClipDefault(224), "anyres", Pinpoints));
    }

    private static byte[] GoldenBytes(string name) => Golden.GetBytes(name).ToArray();

    private static float[] GoldenFloats(string name) => MemoryMarshal.Cast<byte, float>(Golden.GetBytes(name)).ToArray();

    private static PreprocessorConfig TinyClip()
    {
        string path = Path.Combine(Goldens.Checkpoint("openai/clip-vit-tiny-patch14-336"), "preprocessor_config.json");
        return PreprocessorConfig.Parse(File.ReadAllBytes(path), path);
    }

    private static PreparedImage Prepare(char picture, string? mode) => Prepare(ImageDecoder.Decode(Goldens.Image(picture)), mode);

    private static PreparedImage Prepare(RgbImage picture, string? mode) => new ImagePreprocessor(TinyClip(), mode, Pinpoints).Prepare(picture);

    private static void AssertBitsEqual(float[] expected, ReadOnlySpan<float> actual) => Assert.Equal(
        expected.Select(BitConverter.SingleToInt32Bits), actual.ToArray().Select(BitConverter.SingleToInt32Bits));
}
