using LlavaSp.Backends;
using LlavaSp.Graph;

namespace LlavaSp.Generation;

/// <summary>Makes the decoder's inputs of prompts: embeddings of text, features of pictures, of which the last few are kept.</summary>
internal sealed class PromptInputs(IBackend backend, Decoder decoder, ImageEncoder encoder) : IDisposable
{
    private const int PicturesKept = 4;

    private readonly FeatureCache _features = new(encoder, PicturesKept);

    /// <summary>Writes the inputs of positions <paramref name="first"/> to the prompt's last: inputs [prompt.Length - first, hidden].</summary>
    /// <param name="inputs">Where they go.</param>
    /// <param name="prompt">Ids and pictures.</param>
    /// <param name="first">Positions before it are not wanted.</param>
    /// <param name="timer">Times the stages of pictures.</param>
    /// <param name="pictureTrace">Gives what receives the tensors of a picture, by its prefix.</param>
    /// <param name="cancellationToken">Stops between two pictures.</param>
    public void Write(
        Tensor inputs, PromptSequence prompt, int first, StageTimer timer, Func<string, ITraceSink?>? pictureTrace, CancellationToken cancellationToken)
    {
        foreach (PromptSegment segment in prompt.Segments)
        {
            cancellationToken.ThrowIfCancellationRequested();
            int skip = Math.Max(0, first - segment.Start), count = segment.Length - skip;
            if (count <= 0) continue;
            Tensor destination = inputs.Slice(segment.Start + skip - first, count);
            if (segment.Picture < 0)
            {
                decoder.Embed(destination, prompt.Ids.AsSpan(segment.IdOffset + skip, count));
                continue;
            }

            ITraceSink? trace = pictureTrace?.Invoke($"{(char)('a' + segment.Picture)}.");
            Tensor features = _features.Get(prompt.Images[segment.Picture], timer, trace);
            backend.Copy(destination, features.Slice(skip, count));
        }
    }

    /// <summary>Releases the features of pictures.</summary>
    public void Clear() => _features.Clear();

    /// <inheritdoc/>
    public void Dispose() => _features.Dispose();
}
