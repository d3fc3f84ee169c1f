using LlavaSp.Cli.Running;
using LlavaSp.Evaluation.Worlds;
using LlavaSp.Generation;
using LlavaSp.Imaging;
using LlavaSp.Worlds;
using LlavaSp.Worlds.Rendering;
using LlavaSp.Worlds.Scenes;
using WorldQuestion = LlavaSp.Worlds.Questions.Question;

namespace LlavaSp.Cli.Evaluating;

/// <summary>Asks a model about test scenes. All questions about a scene are answered side by side, and share its picture's part of the cache.</summary>
internal sealed class SceneAnswerer(LoadedModel model) : IDisposable
{
    private readonly AnswerBatch _batch = new(model);
    private readonly AnswerSession _session = new(model);

    /// <summary>Answers all questions about a scene.</summary>
    public IEnumerable<QuestionOutcome> Answer(int scene, CancellationToken cancellationToken)
    {
        PreparedImage picture = PictureOf(scene);
        IReadOnlyList<WorldQuestion> questions = World.Questions(Split.Test, scene);
        var results = _batch.Answer([.. questions.Select(question => RequestFor(question, picture))], cancellationToken);
        return questions.Zip(results, (question, result) => QuestionOutcome.Of(scene, question, result.Text));
    }

    /// <summary>The first token of the scene's first question, with nothing of it in the cache.</summary>
    public GenerationResult FirstToken(int scene, CancellationToken cancellationToken)
    {
        GenerationRequest request = RequestFor(World.Questions(Split.Test, scene)[0], PictureOf(scene)) with { MaxNewTokens = 1 };
        _session.Reset();
        return _session.Answer(request, cancellationToken);
    }

    public void Dispose()
    {
        _batch.Dispose();
        _session.Dispose();
    }

    private PreparedImage PictureOf(int scene) => model.Model.Prepare(SceneRenderer.Render(World.Scene(Split.Test, scene)));

    private GenerationRequest RequestFor(WorldQuestion question, PreparedImage picture) =>
        model.Request([Question.WithPictures(question.Text, 1, model.Model.Checkpoint.Multimodal.UseStartEnd), null], [picture]);
}
