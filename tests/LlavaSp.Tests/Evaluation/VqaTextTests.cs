using LlavaSp.Evaluation.Scoring;

namespace LlavaSp.Tests.Evaluation;

/// <summary>The normalisation of the VQA benchmarks, worked out by hand from the published rules.</summary>
public sealed class VqaTextTests
{
    [Theory]
    [InlineData("red; blue", "red blue")]
    [InlineData("red ;blue", "red blue")]
    [InlineData("red;blue", "red blue")]
    // One mark beside a blank makes that mark vanish everywhere, and no other.
    [InlineData("a-b c- d/e", "ab c d e")]
    [InlineData("hello!", "hello ")]
    // A comma between digits makes every mark vanish.
    [InlineData("1,000", "1000")]
    [InlineData("10-20/1,000", "10201000")]
    [InlineData("a,b", "a b")]
    [InlineData("1,b", "1 b")]
    [InlineData("don't: it's", "don't: it's")]
    [InlineData("3.5", "3.5")]
    [InlineData("3.", "3")]
    [InlineData(".5", ".5")]
    [InlineData("..5", ".5")]
    [InlineData("u.s.a.", "usa")]
    [InlineData("{[(\"x\")]}", "    x    ")]
    public void Punctuation(string text, string expected) => Assert.Equal(expected, VqaText.Punctuation(text));

    /// <summary>The flag of the regular expression, 32, is taken for the number of periods to remove.</summary>
    [Fact]
    public void OnlyThirtyTwoPeriodsGo() => Assert.Equal(new string('.', 8), VqaText.Punctuation(new string('.', 40)));

    [Theory]
    [InlineData("The Two  dogs", "2 dogs")]
    [InlineData("none", "0")]
    [InlineData("ten an a the ten", "10 10")]
    [InlineData("eleven", "eleven")]
    [InlineData("dont", "don't")]
    [InlineData("couldnt've", "couldn't've")]
    [InlineData("couldn'tve", "couldn't've")]
    [InlineData("couldntve", "couldntve")]
    [InlineData("yall'd've", "y'all'd've")]
    [InlineData("'ows'at", "'ow's'at")]
    [InlineData("twas oclock", "'twas o'clock")]
    // The published table has this one the wrong way round.
    [InlineData("somebody'd", "somebodyd")]
    [InlineData("someoned", "someone'd")]
    // "Im" and "Ive" have capitals in it, and no word has by then; "lets" is not in it.
    [InlineData("Im ive lets its", "im ive lets its")]
    [InlineData("a\u001cdog\u00a0cat", "dog cat")]
    [InlineData("", "")]
    public void Words(string text, string expected) => Assert.Equal(expected, VqaText.Words(text));

    [Theory]
    [InlineData(" A dog.\n", "dog")]
    [InlineData("red\tand\nblue", "red and blue")]
    [InlineData("It's 3,000 feet", "it's 3000 feet")]
    [InlineData("Yes!", "yes")]
    public void Answer(string text, string expected) => Assert.Equal(expected, VqaText.Answer(text));

    [Theory]
    [InlineData("John's, hat?", "john 's hat")]
    [InlineData("10/10", "10 10")]
    [InlineData("1,000", "1000")]
    // Commas go first, so none is left between digits to make the other marks vanish.
    [InlineData("1,000-2", "1000 2")]
    [InlineData("The One", "1")]
    public void EvalAi(string text, string expected) => Assert.Equal(expected, VqaText.EvalAi(text));
}
