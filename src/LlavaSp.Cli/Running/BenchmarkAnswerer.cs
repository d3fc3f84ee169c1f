using LlavaSp.Checkpoints;
using LlavaSp.Evaluation.Benchmarks;
using LlavaSp.Generation;
using LlavaSp.Imaging;

namespace LlavaSp.Cli.Running;

/// <summary>
/// Answers one question after the other in one session, so that questions about one picture that follow each other, as benchmarks have them, share the
/// picture's part of the cache: it is encoded and read once.
/// </summary>
internal sealed class BenchmarkAnswerer(LoadedModel model, PictureFolder pictures) : IDisposable
{
    private readonly AnswerSession _session = new(model);
    private (string Path, PreparedImage Image)? _last;

    /// <summary>The answer's text.</summary>
    /// <exception cref="BenchmarkException">The picture cannot be used, or the question is too long; says which question it is.</exception>
    public string Answer(BenchmarkQuestion question, CancellationToken cancellationToken)
    {
        try
        {
            PreparedImage[] images = question.ImageBytes is { } bytes ? [Prepare(bytes)] : pictures.PathOf(question) is { } path ? [Prepare(path)] : [];
            string text = Question.WithPictures(question.Text + question.Instruction, images.Length, model.Model.Checkpoint.Multimodal.UseStartEnd);
            GenerationRequest request = model.Request([text, null], images);
            return _session.Answer(request, cancellationToken).Text;
        }
        catch (Exception e) when (e is ImageException or PromptException)
        {
            throw new LlavaSpException($"question {Refusal.Quote(question.Id.Text)}: {e.Message}", e);
        }
    }

    public void Dispose() => _session.Dispose();

    private PreparedImage Prepare(string path)
    {
        if (_last?.Path != path) _last = (path, model.Model.Prepare(ImageDecoder.Decode(path, applyExifOrientation: model.Settings.Exif)));
        return _last.Value.Image;
    }

    // What the cache knows of a picture is its content: two rows with the same one share it all the same.
    private PreparedImage Prepare(byte[] bytes) => model.Model.Prepare(ImageDecoder.Decode(bytes, applyExifOrientation: model.Settings.Exif));
}
