using System.Collections.Concurrent;
using LlavaSp.TrainDemo.Model;
using LlavaSp.Worlds;
using LlavaSp.Worlds.Questions;
using LlavaSp.Worlds.Rendering;
using LlavaSp.Worlds.Scenes;

namespace LlavaSp.TrainDemo.Data;

/// <summary>Draws scenes on a thread of its own, ahead of the trainer: scene after scene of a split, each once.</summary>
internal sealed class ExampleStream : IDisposable
{
    // Batches that wait; more only take memory.
    private const int Ahead = 4;

    private const int Rounds = 4;

    private readonly BlockingCollection<IReadOnlyList<Example>> _waiting = new(Ahead);
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _drawing;

    /// <summary>Starts drawing.</summary>
    /// <param name="packer">Packs the questions.</param>
    /// <param name="split">The split.</param>
    /// <param name="first">First scene.</param>
    /// <param name="batches">Batches.</param>
    /// <param name="size">Scenes of a batch.</param>
    public ExampleStream(QuestionPacker packer, Split split, int first, int batches, int size)
    {
        _drawing = Task.Run(() =>
        {
            try
            {
                for (int i = 0; i < batches; i++)
                    _waiting.Add([.. Enumerable.Range(first + (i * size), size).Select(scene => Draw(packer, split, scene))], _stop.Token);
            }
            catch (OperationCanceledException)
            {
                // Nobody waits any more.
            }
            finally
            {
                _waiting.CompleteAdding();
            }
        });
    }

    /// <summary>The batches, in order.</summary>
    public IEnumerable<IReadOnlyList<Example>> All()
    {
        foreach (IReadOnlyList<Example> batch in _waiting.GetConsumingEnumerable()) yield return batch;
        _drawing.GetAwaiter().GetResult();
    }

    public void Dispose()
    {
        _stop.Cancel();
        ((IAsyncResult)_drawing).AsyncWaitHandle.WaitOne();
        _waiting.Dispose();
        _stop.Dispose();
    }

    /// <summary>One scene with some of its questions.</summary>
    public static Example Draw(QuestionPacker packer, Split split, int index)
    {
        Scene scene = World.Scene(split, index);
        // Each round asks about other objects; what they have in common is asked once.
        Question[] questions = [.. Enumerable.Range(0, Rounds).SelectMany(round => World.Questions(split, index, round)).DistinctBy(question => question.Text)];
        var owners = new PatchOwners(scene, DemoModel.Vision.PatchSize);
        return new Example(SceneRenderer.Render(scene), owners, PatchLabels.Of(scene, owners), packer.Pack(scene, questions, new Random(index)));
    }
}
