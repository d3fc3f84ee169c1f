using LlavaSp.Generation;
using LlavaSp.Imaging;
using LlavaSp.Tests.Imaging;
using SkiaSharp;

namespace LlavaSp.Tests.Generation;

/// <summary>What the cache holds is not computed again, and what it holds is always what it should.</summary>
public sealed class PrefixReuseTests
{
    private static readonly int[] Question = [1, 328, 271, -200, 402, 343, 353];
    private static readonly LlavaSpModel Model = TestModels.Reference();
    private static readonly PreparedImage B = TestModels.Image(Model, 'b'), C = TestModels.Image(Model, 'c');

    [Fact]
    public void ASecondTurnComputesOnlyItsOwnText()
    {
        using LlavaSpSession session = Model.CreateSession(900);
        GenerationResult first = session.Generate(TestModels.Request(Question, 7, C));
        Assert.Equal(6 + 582, first.PromptLength);
        Assert.Equal(0, first.ReusedLength);
        Assert.True(first.Times[Stage.Vision] > 0);

        int[] next = [.. Question, .. first.Ids, 2, 440, 268, 260];
        GenerationResult second = TestModels.SameAsFresh(Model, session, TestModels.Request(next, 7, C));
        // The last token of an answer was chosen, but never went through the decoder.
        Assert.Equal(first.PromptLength + first.Ids.Count - 1, second.ReusedLength);
        NoVisionWork(second);
        Assert.True(second.Times[Stage.Prefill] > 0);
    }

    [Fact]
    public void AnAnswerThatTokenisesDifferentlyIsReusedUpToTheDifference()
    {
        using LlavaSpSession session = Model.CreateSession(900);
        GenerationResult first = session.Generate(TestModels.Request(Question, 7, C));
        int[] other = [.. first.Ids.Take(3), (first.Ids[3] + 1) % 512, .. first.Ids.Skip(4)];
        GenerationResult second = TestModels.SameAsFresh(Model, session, TestModels.Request([.. Question, .. other, 440], 7, C));
        Assert.Equal(first.PromptLength + 3, second.ReusedLength);
        NoVisionWork(second);
    }

    [Fact]
    public void AnotherPictureUnderTheSameTextIsComputed()
    {
        using LlavaSpSession session = Model.CreateSession(900);
        session.Generate(TestModels.Request(Question, 3, B));
        GenerationResult changed = TestModels.SameAsFresh(Model, session, TestModels.Request(Question, 3, C));
        Assert.Equal(3, changed.ReusedLength);
        Assert.True(changed.Times[Stage.Vision] > 0);
        GenerationResult back = TestModels.SameAsFresh(Model, session, TestModels.Request(Question, 3, B));
        Assert.Equal(3, back.ReusedLength);
        // Its rows are gone from the cache, its features are not.
        NoVisionWork(back);
    }

    [Fact]
    public void ThePictureIsKnownByItsContent()
    {
        RgbImage decoded = ImageDecoder.Decode(Goldens.Image('c'));
        byte[] file = PictureFiles.Encode(decoded, SKEncodedImageFormat.Png, SKColorSpace.CreateSrgb());
        Assert.NotEqual(File.ReadAllBytes(Goldens.Image('c')), file);
        PreparedImage same = Model.Prepare(ImageDecoder.Decode(file));
        byte[] pixels = [.. decoded.Pixels];
        pixels[0] ^= 255;
        PreparedImage almost = Model.Prepare(new RgbImage(decoded.Width, decoded.Height, pixels));

        using LlavaSpSession session = Model.CreateSession(900);
        session.Generate(TestModels.Request(Question, 3, C));
        GenerationResult reused = TestModels.SameAsFresh(Model, session, TestModels.Request(Question, 3, same));
        Assert.Equal(reused.PromptLength - 1, reused.ReusedLength);
        NoVisionWork(reused);
        GenerationResult computed = TestModels.SameAsFresh(Model, session, TestModels.Request(Question, 3, almost));
        Assert.Equal(3, computed.ReusedLength);
        Assert.True(computed.Times[Stage.Vision] > 0);
    }

    [Fact]
    public void OfTwoPicturesOnlyTheChangedOneIsComputed()
    {
        int[] ids = [1, 20, -200, 21, -200, 22, 23];
        PreparedImage d = TestModels.Image(Model, 'd');
        using LlavaSpSession session = Model.CreateSession(1300);
        GenerationResult first = TestModels.SameAsFresh(Model, session, TestModels.Request(ids, 3, B, C));
        Assert.Equal(5 + 2 * 582, first.PromptLength);
        GenerationResult second = TestModels.SameAsFresh(Model, session, TestModels.Request(ids, 3, B, d));
        Assert.Equal(3 + 582, second.ReusedLength);
        Assert.InRange(second.Times[Stage.Vision], double.Epsilon, double.MaxValue);
        GenerationResult swapped = TestModels.SameAsFresh(Model, session, TestModels.Request(ids, 3, d, B));
        Assert.Equal(2, swapped.ReusedLength);
        NoVisionWork(swapped);
        GenerationResult twice = TestModels.SameAsFresh(Model, session, TestModels.Request(ids, 3, d, d));
        Assert.Equal(3 + 582, twice.ReusedLength);
        NoVisionWork(twice);
    }

    [Fact]
    public void TheSamePromptAgainComputesItsLastPosition()
    {
        using LlavaSpSession session = Model.CreateSession(900);
        GenerationResult first = session.Generate(TestModels.Request(Question, 5, C));
        GenerationResult again = TestModels.SameAsFresh(Model, session, TestModels.Request(Question, 5, C));
        Assert.Equal(first.Ids, again.Ids);
        Assert.Equal(first.PromptLength - 1, again.ReusedLength);
        NoVisionWork(again);
        // Also where the last position is the last row of a picture.
        int[] ends = Question[..4];
        GenerationResult picture = TestModels.SameAsFresh(Model, session, TestModels.Request(ends, 5, C));
        Assert.Equal(3 + 582 - 1, picture.ReusedLength);
        NoVisionWork(picture);
        // And where the prompt is shorter than what the cache holds.
        GenerationResult shorter = TestModels.SameAsFresh(Model, session, TestModels.Request(ends[..2], 5));
        Assert.Equal(1, shorter.ReusedLength);
    }

    [Fact]
    public void ResetForgetsEverything()
    {
        using LlavaSpSession session = Model.CreateSession(900);
        session.Generate(TestModels.Request(Question, 5, C));
        session.Reset();
        Assert.Equal(0, session.Runner.Length);
        GenerationResult again = TestModels.SameAsFresh(Model, session, TestModels.Request(Question, 5, C));
        Assert.Equal(0, again.ReusedLength);
        Assert.True(again.Times[Stage.Vision] > 0);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void AnyHistoryAnswersAsAFreshSession(int seed)
    {
        var random = new Random(seed);
        using LlavaSpSession session = Model.CreateSession(800);
        int reused = 0;
        for (int turn = 0; turn < 12; turn++)
        {
            // Few different tokens, so that prompts share beginnings of every length.
            int[] text = [1, .. Enumerable.Range(0, random.Next(1, 9)).Select(_ => 40 + random.Next(2))];
            bool picture = random.Next(3) == 0;
            int[] ids = picture ? [.. text[..1], -200, .. text[1..]] : text;
            GenerationRequest request = TestModels.Request(ids, 1 + random.Next(6), picture ? [random.Next(2) == 0 ? B : C] : []);
            if (random.Next(4) == 0)
            {
                using var stop = new CancellationTokenSource();
                int after = random.Next(request.MaxNewTokens), count = 0;
                Assert.Throws<OperationCanceledException>(() => session.Generate(
                    request with { MaxNewTokens = request.MaxNewTokens + 1 },
                    _ =>
                    {
                        if (count++ == after) stop.Cancel();
                    },
                    stop.Token));
                continue;
            }

            reused += TestModels.SameAsFresh(Model, session, request).ReusedLength;
        }

        Assert.True(reused > 0);
    }

    private static void NoVisionWork(GenerationResult result)
    {
        Assert.Equal(0, result.Times[Stage.Vision]);
        Assert.Equal(0, result.Times[Stage.SpatialTokens]);
        Assert.Equal(0, result.Times[Stage.Projector]);
    }
}
