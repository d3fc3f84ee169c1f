using LlavaSp.Checkpoints;
using LlavaSp.Evaluation.Benchmarks;
using LlavaSp.Generation;
using LlavaSp.Imaging;

namespace LlavaSp.Cli.Running;

/// <summary>
/// Answers several questions at a time, side by side, so that the weights are read once for all of them, and so that questions about one picture that follow
/// each other, as benchmarks have them, share the picture's part of the cache: it is encoded and read once.
/// </summary>
internal sealed class BenchmarkAnswerer(LoadedModel model, PictureFolder pictures) : IDisposable
{
    private readonly AnswerBatch _batch = new(model);
    private (string Path, PreparedImage Image)? _last;

    /// <summary>The answers' texts.</summary>
    /// <exception cref="BenchmarkException">A picture cannot be used, or a question is too long; says which question it is.</exception>
    public IReadOnlyList<string> Answer(IReadOnlyList<BenchmarkQuestion> questions, CancellationToken cancellationToken) =>
        [.. _batch.Answer([.. questions.Select(Request)], cancellationToken).Select(result => result.Text)];

    public void Dispose() => _batch.Dispose();

    private GenerationRequest Request(BenchmarkQuestion question)
    {
        try
        {
            PreparedImage[] images = question.ImageBytes is { } bytes ? [Prepare(bytes)] : pictures.PathOf(question) is { } path ? [Prepare(path)] : [];
            string text = Question.WithPictures(question.Text + question.Instruction, images.Length, model.Model.Checkpoint.Multimodal.UseStartEnd);
            GenerationRequest request = model.Request([text, null], images);
            model.LengthOf(request);
            return request;
        }
        catch (Exception e) when (e is ImageException or PromptException)
        {
            throw new LlavaSpException($"question {Refusal.Quote(question.Id.Text)}: {e.Message}", e);
        }
    }

    private PreparedImage Prepare(string path)
    {
        if (_last?.Path != path) _last = (path, model.Model.Prepare(ImageDecoder.Decode(path, applyExifOrientation: model.Settings.Exif)));
        return _last.Value.Image;
    }

    // What the cache knows of a picture is its content: two rows with the same one share it all the same.
    private PreparedImage Prepare(byte[] bytes) => model.Model.Prepare(ImageDecoder.Decode(bytes, applyExifOrientation: model.Settings.Exif));
}
