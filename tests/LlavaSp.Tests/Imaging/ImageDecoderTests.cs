using CsCheck;
using LlavaSp.Imaging;
using SkiaSharp;

namespace LlavaSp.Tests.Imaging;

public sealed class ImageDecoderTests
{
    private static readonly ImageLimits Small = new(MaxPixels: 1 << 16);

    public static TheoryData<string, int, int, string> Files =>
        [.. TestPictures.Table("decoded.txt").Select(row => (row[0], int.Parse(row[1]), int.Parse(row[2]), row[3]))];

    public static TheoryData<string> Names => [.. TestPictures.Table("decoded.txt").Select(row => row[0])];

    [Theory]
    [MemberData(nameof(Files))]
    public void DecodesAsPillowDoes(string name, int width, int height, string hash)
    {
        RgbImage image = ImageDecoder.Decode(TestPictures.Data(name));
        Assert.Equal((width, height), (image.Width, image.Height));
        Assert.Equal(hash, TestPictures.Hash(image.Pixels));
    }

    [Fact]
    public void PathStreamAndBytesAgree()
    {
        string path = TestPictures.Data("rgb.png");
        byte[] expected = ImageDecoder.Decode(path).Pixels;
        using FileStream stream = File.OpenRead(path);
        Assert.Equal(expected, ImageDecoder.Decode(stream).Pixels);
        Assert.Equal(expected, ImageDecoder.Decode(File.ReadAllBytes(path)).Pixels);
    }

    [Theory]
    [InlineData("gAMA", new byte[] { 0, 1, 0x86, 0xA0 })]
    [InlineData("sRGB", new byte[] { 0 })]
    [InlineData("gAMA", new byte[] { 0, 0, 0x4E, 0x20 })]
    public void ColourChunksAreIgnored(string type, byte[] data)
    {
        byte[] png = File.ReadAllBytes(TestPictures.Data("rgb.png"));
        byte[] tagged = PictureFiles.InsertPngChunk(png, type, data);
        Assert.NotEqual(png, tagged);
        Assert.Equal(ImageDecoder.Decode(png).Pixels, ImageDecoder.Decode(tagged).Pixels);
    }

    [Theory]
    [InlineData(SKEncodedImageFormat.Png)]
    [InlineData(SKEncodedImageFormat.Webp)]
    public void ColourProfilesAreIgnored(SKEncodedImageFormat format)
    {
        RgbImage picture = TestPictures.Create("noise", 31, 17);
        using SKColorSpace wide = SKColorSpace.CreateRgb(SKColorSpaceTransferFn.TwoDotTwo, SKColorSpaceXyz.DisplayP3);
        byte[] file = PictureFiles.Encode(picture, format, wide);
        Assert.Contains(format == SKEncodedImageFormat.Png ? "iCCP" : "ICCP", System.Text.Encoding.Latin1.GetString(file), StringComparison.Ordinal);
        Assert.Equal(picture.Pixels, ImageDecoder.Decode(file).Pixels);
    }

    [Theory]
    [InlineData(1, 0, false)]
    [InlineData(2, 0, true)]
    [InlineData(3, 2, false)]
    [InlineData(4, 2, true)]
    [InlineData(5, 3, true)]
    [InlineData(6, 1, false)]
    [InlineData(7, 1, true)]
    [InlineData(8, 3, false)]
    public void ExifOrientationIsAppliedWhenAsked(int orientation, int quarterTurnsClockwise, bool mirroredFirst)
    {
        byte[] jpeg = File.ReadAllBytes(TestPictures.Data("rgb-420.jpg"));
        byte[] tagged = PictureFiles.InsertExifOrientation(jpeg, orientation);
        RgbImage stored = ImageDecoder.Decode(jpeg);
        Assert.Equal(stored.Pixels, ImageDecoder.Decode(tagged).Pixels);

        RgbImage expected = mirroredFirst ? PictureFiles.Mirror(stored) : stored;
        for (int i = 0; i < quarterTurnsClockwise; i++)
            expected = PictureFiles.TurnClockwise(expected);
        RgbImage upright = ImageDecoder.Decode(tagged, applyExifOrientation: true);
        Assert.Equal((expected.Width, expected.Height), (upright.Width, upright.Height));
        Assert.Equal(expected.Pixels, upright.Pixels);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void TruncatedFilesAreNeverDecodedInPart(string name)
    {
        byte[] file = File.ReadAllBytes(TestPictures.Data(name));
        byte[] whole = ImageDecoder.Decode(file).Pixels;
        int refused = 0;
        int step = Math.Max(1, file.Length / 150);
        for (int length = 0; length < file.Length; length += step)
        {
            try
            {
                // Only what follows the last pixel may be missing.
                Assert.Equal(whole, ImageDecoder.Decode(file.AsSpan(0, length)).Pixels);
            }
            catch (ImageException e)
            {
                AssertOneLine(e);
                refused++;
            }
        }
        Assert.True(refused > 20, $"{refused} lengths refused");
    }

    [Theory]
    [InlineData("rgb-420.jpg")]
    [InlineData("progressive.jpg")]
    public void JpegsWithoutTheirEndAreRefusedAsByPillow(string name) =>
        Assert.Contains("cut short", Refused(() => ImageDecoder.Decode(File.ReadAllBytes(TestPictures.Data(name)).AsSpan()[..^2])), StringComparison.Ordinal);

    [Fact]
    public void RandomBytesAfterAMagicGiveOnlyImageException()
    {
        byte[][] magics =
        [
            [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A], [0xFF, 0xD8, 0xFF], [.. "RIFF\0\u0001\0\0WEBPVP8 "u8], [.. "RIFF\0\u0001\0\0WEBPVP8L"u8],
            [.. "GIF89a"u8], [.. "BM"u8], [],
        ];
        Gen.Select(Gen.Int[0, magics.Length - 1], Gen.Byte.Array[0, 300]).Sample((magic, rest) => OnlyImageException([.. magics[magic], .. rest]), iter: 3000, threads: 1);
    }

    [Fact]
    public void DamagedFilesGiveOnlyImageException()
    {
        byte[][] files = [.. Names.Select(row => File.ReadAllBytes(TestPictures.Data(row.Data)))];
        Gen.Select(Gen.Int[0, files.Length - 1], Gen.Select(Gen.Double[0, 1], Gen.Byte).Array[1, 8]).Sample((file, changes) =>
        {
            byte[] damaged = [.. files[file]];
            foreach ((double where, byte value) in changes)
                damaged[(int)(where * where * (damaged.Length - 1))] = value;
            return OnlyImageException(damaged);
        }, iter: 3000, threads: 1);
    }

    [Theory]
    [InlineData("II*\0........", "TIFF")]
    [InlineData("\0\0\0\u0020ftypheic....", "HEIC")]
    [InlineData("\0\0\0\u0020ftypavif....", "AVIF")]
    [InlineData("<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG")]
    [InlineData("hello, I am text", "not a picture")]
    [InlineData("", "empty")]
    public void OtherFormatsAreNamed(string text, string expected)
    {
        byte[] bytes = System.Text.Encoding.Latin1.GetBytes(text);
        var e = Assert.Throws<ImageException>(() => ImageDecoder.Decode(bytes));
        Assert.Contains(expected, e.Message, StringComparison.Ordinal);
        AssertOneLine(e);
    }

    [Fact]
    public void UnreadablePathsAreImageExceptions()
    {
        Assert.Contains("no such file", Refused(() => ImageDecoder.Decode("no/such/picture.png")), StringComparison.Ordinal);
        Assert.Contains("directory", Refused(() => ImageDecoder.Decode(Path.GetTempPath())), StringComparison.Ordinal);
        Refused(() => ImageDecoder.Decode(""));
        Refused(() => ImageDecoder.Decode("a\0b"));
    }

    [Fact]
    public void BombsAreRefusedBeforeTheyAreDecoded()
    {
        byte[] png = PictureFiles.PngHeader(60_000, 60_000);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Contains("60000 x 60000", Refused(() => ImageDecoder.Decode(png)), StringComparison.Ordinal);
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 1 << 20);

        string path = TestPictures.Data("rgb.png");
        Assert.Contains("limit", Refused(() => ImageDecoder.Decode(path, new ImageLimits(MaxPixels: (45 * 33) - 1))), StringComparison.Ordinal);
        Assert.Contains("limit", Refused(() => ImageDecoder.Decode(path, new ImageLimits(MaxEdge: 44))), StringComparison.Ordinal);
        Assert.Contains("limit", Refused(() => ImageDecoder.Decode(path, new ImageLimits(MaxBytes: 100))), StringComparison.Ordinal);
        Assert.Equal(45, ImageDecoder.Decode(path, new ImageLimits(new FileInfo(path).Length, 45 * 33, 45)).Width);
        Assert.Contains("limit", Refused(() => ImageDecoder.Decode(new EndlessStream(), new ImageLimits(MaxBytes: 1 << 20))), StringComparison.Ordinal);
    }

    [Fact]
    public void JpegsOfManyScansAreRefused()
    {
        byte[] jpeg = File.ReadAllBytes(TestPictures.Data("progressive.jpg"));
        int scan = jpeg.AsSpan().LastIndexOf((ReadOnlySpan<byte>)[0xFF, 0xDA]);
        byte[] bomb = [.. jpeg[..scan], .. Enumerable.Repeat(jpeg[scan..^2], 100).SelectMany(bytes => bytes), 0xFF, 0xD9];
        Assert.Contains("scans", Refused(() => ImageDecoder.Decode(bomb)), StringComparison.Ordinal);
    }

    private static bool OnlyImageException(byte[] bytes)
    {
        try
        {
            RgbImage image = ImageDecoder.Decode(bytes, Small, applyExifOrientation: true);
            return image.Pixels.Length == image.Width * image.Height * 3 && image.Width * image.Height <= Small.MaxPixels;
        }
        catch (ImageException e)
        {
            AssertOneLine(e);
            return true;
        }
    }

    private static string Refused(Action decode)
    {
        var e = Assert.Throws<ImageException>(decode);
        AssertOneLine(e);
        return e.Message;
    }

    private static void AssertOneLine(ImageException e)
    {
        Assert.DoesNotContain('\n', e.Message);
        Assert.DoesNotContain('\r', e.Message);
    }

    private sealed class EndlessStream : Stream
    {
        public override bool CanRead => true;
        public override bool CanSeek => false;
        public override bool CanWrite => false;
        public override long Length => throw new NotSupportedException();
        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }
        public override void Flush() { }
        public override int Read(byte[] buffer, int offset, int count) => count;
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();
        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
