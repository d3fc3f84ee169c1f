using CsCheck;
using LlavaSp.Imaging;

namespace LlavaSp.Tests.Imaging;

public sealed class PillowResizeTests
{
    public static TheoryData<string, int, int, int, int, string> Cases =>
        [.. TestPictures.Table("pillow.txt").Where(row => row[0] == "resize")
            .Select(row => (row[1], int.Parse(row[2]), int.Parse(row[3]), int.Parse(row[4]), int.Parse(row[5]), row[6]))];

    private static Gen<(int Width, int Height, int NewWidth, int NewHeight)> Sizes =>
        Gen.Select(Gen.Int[1, 60], Gen.Int[1, 60], Gen.Int[1, 60], Gen.Int[1, 60]);

    [Theory]
    [MemberData(nameof(Cases))]
    public void IsPillowBitForBit(string kind, int width, int height, int newWidth, int newHeight, string hash)
    {
        RgbImage resized = PillowResize.Resize(TestPictures.Create(kind, width, height), newWidth, newHeight);
        Assert.Equal((newWidth, newHeight), (resized.Width, resized.Height));
        Assert.Equal(hash, TestPictures.Hash(resized.Pixels));
    }

    [Fact]
    public void ConstantPicturesStayConstant() => Sizes.Sample(s =>
        PillowResize.Resize(TestPictures.Constant(s.Width, s.Height, 1, 128, 254), s.NewWidth, s.NewHeight).Pixels
            .AsSpan().SequenceEqual(TestPictures.Constant(s.NewWidth, s.NewHeight, 1, 128, 254).Pixels), iter: 300);

    [Fact]
    public void SameSizeIsTheSamePicture() => Gen.Select(Gen.Int[1, 60], Gen.Int[1, 60]).Sample((width, height) =>
    {
        RgbImage picture = TestPictures.Create("noise", width, height);
        return PillowResize.Resize(picture, width, height).Pixels.AsSpan().SequenceEqual(picture.Pixels);
    }, iter: 100);

    [Fact]
    public void IsWithinALevelOfTheExactFilter() => Sizes.Sample(s =>
    {
        RgbImage picture = TestPictures.Create("ramp", s.Width, s.Height);
        byte[] actual = PillowResize.Resize(picture, s.NewWidth, s.NewHeight).Pixels;
        double[] exact = Exact(picture, s.NewWidth, s.NewHeight);
        return actual.Zip(exact).All(pair => Math.Abs(pair.First - Math.Round(pair.Second)) <= 1);
    }, iter: 200);

    [Fact]
    public void AWindowIsACutOfTheWhole() => Gen.Select(Sizes, Gen.Double[0, 1].Array[4]).Sample((s, cut) =>
    {
        var canvas = new Canvas(TestPictures.Create("noise", s.Width, s.Height), s.Width + 9, s.Height + 5, (int)(cut[0] * 20) - 10, (int)(cut[1] * 20) - 10, 9, 99, 199);
        int left = (int)(cut[2] * (s.NewWidth - 1)), top = (int)(cut[3] * (s.NewHeight - 1));
        int columns = Math.Max(1, (s.NewWidth - left) / 2), rows = Math.Max(1, (s.NewHeight - top) / 2);
        RgbImage whole = PillowResize.Resize(Materialise(canvas), s.NewWidth, s.NewHeight);
        byte[] window = PillowResize.Resize(canvas, s.NewWidth, s.NewHeight, left, top, columns, rows);
        return Enumerable.Range(0, rows).All(y =>
            window.AsSpan(y * columns * 3, columns * 3).SequenceEqual(whole.Row(top + y).Slice(left * 3, columns * 3)));
    }, iter: 500);

    [Theory]
    [InlineData(0, 1)]
    [InlineData(1, 0)]
    [InlineData(int.MaxValue, 2)]
    public void ImpossibleSizesAreRefused(int width, int height) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => PillowResize.Resize(TestPictures.Constant(2, 2, 0, 0, 0), width, height));

    private static RgbImage Materialise(Canvas canvas)
    {
        RgbImage result = TestPictures.Constant(canvas.Width, canvas.Height, canvas.Red, canvas.Green, canvas.Blue);
        for (int y = 0; y < canvas.Height; y++)
        {
            for (int x = 0; x < canvas.Width; x++)
            {
                int sourceX = x - canvas.Left, sourceY = y - canvas.Top;
                if (sourceX >= 0 && sourceX < canvas.Image.Width && sourceY >= 0 && sourceY < canvas.Image.Height)
                    canvas.Image.Row(sourceY).Slice(sourceX * 3, 3).CopyTo(result.Pixels.AsSpan(((y * canvas.Width) + x) * 3));
            }
        }
        return result;
    }

    /// <summary>The two-dimensional sum in double precision, the intermediate rows not rounded.</summary>
    private static double[] Exact(RgbImage picture, int width, int height)
    {
        double[][] horizontal = Weights(picture.Width, width), vertical = Weights(picture.Height, height);
        var result = new double[width * height * 3];
        for (int y = 0; y < height; y++)
        {
            for (int i = 0; i < width * 3; i++)
            {
                double sum = 0;
                for (int sourceY = 0; sourceY < picture.Height; sourceY++)
                {
                    // Pillow clips after the horizontal pass.
                    double row = 0;
                    for (int sourceX = 0; sourceX < picture.Width; sourceX++)
                        row += horizontal[i / 3][sourceX] * picture.Row(sourceY)[(sourceX * 3) + (i % 3)];
                    sum += vertical[y][sourceY] * Math.Clamp(row, 0, 255);
                }
                result[(y * width * 3) + i] = Math.Clamp(sum, 0, 255);
            }
        }
        return result;
    }

    private static double[][] Weights(int inputs, int outputs)
    {
        double scale = (double)inputs / outputs, stretch = Math.Max(scale, 1);
        return [.. Enumerable.Range(0, outputs).Select(output =>
        {
            double center = (output + 0.5) * scale;
            double[] weights = [.. Enumerable.Range(0, inputs).Select(input => Cubic(Math.Abs(input + 0.5 - center) / stretch))];
            double sum = weights.Sum();
            return Array.ConvertAll(weights, weight => weight / sum);
        })];
    }

    private static double Cubic(double x) => x switch
    {
        < 1 => (1.5 * x * x * x) - (2.5 * x * x) + 1,
        < 2 => (-0.5 * x * x * x) + (2.5 * x * x) - (4 * x) + 2,
        _ => 0,
    };
}
