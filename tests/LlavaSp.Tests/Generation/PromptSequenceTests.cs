using CsCheck;
using LlavaSp.Backends;
using LlavaSp.Generation;
using LlavaSp.Imaging;
using LlavaSp.Text;

namespace LlavaSp.Tests.Generation;

public sealed class PromptSequenceTests
{
    private const int Vocabulary = 50;

    /// <summary>A prompt as a list: ids from 0 up, picture p as -1 - p.</summary>
    private static readonly Gen<int[]> Prompt = Gen.OneOf(Gen.Int[0, 3], Gen.Int[-3, -1], Gen.Int[0, Vocabulary - 1]).Array[1, 30];

    [Fact]
    public void SegmentsCoverEveryPositionOnce() => Gen.Select(Prompt, Gen.Int[1, 60]).Sample((prompt, cut) =>
    {
        int full = prompt.Sum(LengthOf);
        foreach (int? cutAt in (int?[])[null, cut])
        {
            PromptSequence sequence = Create(prompt, cutAt);
            Assert.Equal(Math.Min(full, cutAt ?? full), sequence.Length);
            int position = 0;
            foreach (PromptSegment segment in sequence.Segments)
            {
                Assert.Equal(position, segment.Start);
                Assert.True(segment.Length > 0);
                position += segment.Length;
            }

            Assert.Equal(sequence.Length, position);
            Assert.Equal(Expand(prompt).Take(sequence.Length), Expand(sequence));
        }
    });

    [Fact]
    public void KeysAreEqualWhereTheContentIs() => Gen.Select(Prompt, Prompt).Sample((first, second) =>
    {
        PromptSequence a = Create(first), b = Create(second);
        (int What, int Row)[] left = [.. Expand(first)], right = [.. Expand(second)];
        for (int i = 0; i < Math.Min(left.Length, right.Length); i++) Assert.Equal(left[i] == right[i], a.Keys[i] == b.Keys[i]);
    });

    [Fact]
    public void ACutPromptIsABeginning() => Gen.Select(Prompt, Gen.Int[1, 60]).Sample((prompt, cut) =>
        Assert.Equal(Create(prompt).Keys.Take(cut), Create(prompt, cut).Keys));

    [Fact]
    public void WrongPromptsAreRefused()
    {
        Assert.Contains("empty", Refused([]), StringComparison.Ordinal);
        Assert.Contains("1 <image> placeholder(s) for 0 picture(s)", Refused([1, ImageToken.Id]), StringComparison.Ordinal);
        Assert.Contains("0 <image> placeholder(s) for 1 picture(s)", Refused([1], Picture(0)), StringComparison.Ordinal);
        Assert.Contains("token id 50 at position 1", Refused([1, 50]), StringComparison.Ordinal);
        Assert.Contains("token id -1 at position 0", Refused([-1, 1]), StringComparison.Ordinal);
        Assert.Contains($"token id {int.MinValue}", Refused([int.MinValue]), StringComparison.Ordinal);

        static string Refused(int[] ids, params PreparedImage[] images) =>
            Assert.Throws<PromptException>(() => PromptSequence.Create(ids, images, _ => 3, Vocabulary)).Message;
    }

    private static PromptSequence Create(int[] prompt, int? cutAt = null) => PromptSequence.Create(
        [.. prompt.Select(item => item < 0 ? ImageToken.Id : item)], [.. prompt.Where(item => item < 0).Select(item => Picture(-1 - item))],
        image => image.OriginalWidth, Vocabulary, cutAt);

    private static PreparedImage Picture(int index) => new(
        new TilePixels(1, 1, default, default), LengthOf(-1 - index), 1, null, Imaging.TestPictures.Hash([(byte)index]).PadRight(64, '0'));

    /// <summary>Rows of a picture, 2, 4 or 6; 1 for an id.</summary>
    private static int LengthOf(int item) => item < 0 ? -2 * item : 1;

    private static IEnumerable<(int What, int Row)> Expand(int[] prompt) =>
        prompt.SelectMany(item => Enumerable.Range(0, LengthOf(item)).Select(row => (item, row)));

    private static IEnumerable<(int What, int Row)> Expand(PromptSequence sequence) => sequence.Segments.SelectMany(segment =>
        Enumerable.Range(0, segment.Length).Select(row => segment.Picture < 0
            ? (sequence.Ids[segment.IdOffset + row], 0)
            : (-sequence.Images[segment.Picture].OriginalWidth / 2, row)));
}
