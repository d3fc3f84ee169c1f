using LlavaSp.Evaluation.Benchmarks;
using LlavaSp.Evaluation.Scoring;
using LlavaSp.Imaging;
using LlavaSp.Tests.Checkpoints;
using LlavaSp.Tests.Evaluation;
using LlavaSp.Worlds;
using LlavaSp.Worlds.Export;
using LlavaSp.Worlds.Questions;
using LlavaSp.Worlds.Rendering;
using LlavaSp.Worlds.Scenes;

namespace LlavaSp.Tests.Worlds;

public sealed class BenchmarkFolderTests : IDisposable
{
    private const int First = 5, Count = 12;

    private readonly TemporaryFolder _folder = new();

    public BenchmarkFolderTests() => BenchmarkFolder.Write(_folder["world"], Split.Test, First, Count);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void QuestionsAndPicturesComeBack()
    {
        BenchmarkQuestion[] read = [.. QuestionFile.Read(File("questions.jsonl"))];
        Question[] made = [.. Enumerable.Range(First, Count).SelectMany(i => World.Questions(Split.Test, i))];
        Assert.Equal(made.Select(question => question.Text), read.Select(question => question.Text));
        Assert.Equal(read.Length, read.Select(question => question.Id).Distinct().Count());
        for (int i = First; i < First + Count; i++)
        {
            RgbImage image = ImageDecoder.Decode(System.IO.File.ReadAllBytes(File($"images/{i:D6}.png")));
            Assert.Equal(SceneRenderer.Render(World.Scene(Split.Test, i)).Pixels, image.Pixels);
            Assert.Contains(read, question => question.Image == $"{i:D6}.png");
        }
    }

    [Fact]
    public void TheRightAnswersScoreFully()
    {
        ScoreReport gqa = Scorers.Score("gqa", new ScoreInput(File("answers.jsonl"), File("truth.json")));
        Assert.Equal(1, gqa.Metric("accuracy"));
        Assert.Equal(QuestionFile.Read(File("questions.jsonl")).Count(), gqa.Overall.Questions);
        ScoreReport pope = Scorers.Score("pope", new ScoreInput(ExistenceAnswers(_ => null), File("existence.jsonl")));
        Assert.Equal((1, 0.5), (pope.Metric("accuracy"), pope.Metric("yes ratio")));
        Assert.Equal(["adversarial", "colour", "popular", "random", "shape"], pope.Groups.Select(group => group.Name));
    }

    [Fact]
    public void OneAnswerForAllScoresAHalf()
    {
        ScoreReport pope = Scorers.Score("pope", new ScoreInput(ExistenceAnswers(_ => "yes"), File("existence.jsonl")));
        Assert.Equal((0.5, 1), (pope.Metric("accuracy"), pope.Metric("yes ratio")));
    }

    private string File(string name) => _folder[$"world/{name}"];

    // POPE's score wants the answers of its questions only.
    private string ExistenceAnswers(Func<string, string?> other)
    {
        var ids = QuestionFile.Read(File("existence.jsonl")).Select(question => question.Id.Text).ToHashSet();
        return _folder.Answers([.. AnswerFile.Read(File("answers.jsonl")).Select(line => line.Answer)
            .Where(answer => ids.Contains(answer.Id.Text)).Select(answer => ((object)answer.Id.Text, other(answer.Text) ?? answer.Text))]);
    }
}
