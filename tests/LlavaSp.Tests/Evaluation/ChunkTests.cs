using CsCheck;
using LlavaSp.Evaluation.Benchmarks;

namespace LlavaSp.Tests.Evaluation;

/// <summary>Chunks as upstream's split_list cuts them.</summary>
public sealed class ChunkTests
{
    [Theory]
    [InlineData(10, 3, "0-4 4-8 8-10")]
    [InlineData(7, 5, "0-2 2-4 4-6 6-7 7-7")]
    [InlineData(4, 4, "0-1 1-2 2-3 3-4")]
    [InlineData(1, 3, "0-1 1-1 1-1")]
    [InlineData(0, 2, "0-0 0-0")]
    [InlineData(5, 1, "0-5")]
    public void AllHaveTheSizeOfTheFirst(int questions, int chunks, string expected) =>
        Assert.Equal(expected, string.Join(' ', Enumerable.Range(0, chunks).Select(i => Chunk.Of(questions, chunks, i)).Select(range => $"{range.Start}-{range.End}")));

    [Fact]
    public void TogetherTheyAreAllQuestionsInOrder() => Gen.Select(Gen.Int[0, 300], Gen.Int[1, 40]).Sample((questions, chunks) =>
    {
        int[] all = [.. Enumerable.Range(0, questions)];
        Assert.Equal(all, Enumerable.Range(0, chunks).SelectMany(i => all[Chunk.Of(questions, chunks, i)]));
    });

    [Theory]
    [InlineData(0, 0, "0 chunks")]
    [InlineData(3, 3, "chunk 3 of 3: chunks count from 0 to 2")]
    [InlineData(3, -1, "chunk -1")]
    public void OthersAreRefused(int chunks, int index, string expected) => EvaluationFiles.Refuses(() => Chunk.Of(10, chunks, index), expected);

    [Fact]
    public void LargeNumbersDoNotOverflow() => Assert.Equal(int.MaxValue..int.MaxValue, Chunk.Of(int.MaxValue, int.MaxValue - 1, int.MaxValue - 2));
}
