using System.Collections.Concurrent;
using LlavaSp.Imaging;
using LlavaSp.TrainDemo.Model;
using LlavaSp.TrainDemo.Training;
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

    private const int Rounds = 4, MarkedEvery = 2;

    // Of every eight pictures so many are not in the world's colours, where they are seen and where they are asked about.
    private const int Cycle = 8, OtherColoursSeen = 4, OtherColoursAskedAbout = 2;

    private readonly BlockingCollection<IReadOnlyList<Example>> _waiting = new(Ahead);
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _drawing;

    /// <summary>Starts drawing.</summary>
    /// <param name="packer">Packs the questions.</param>
    /// <param name="split">The split.</param>
    /// <param name="first">First scene.</param>
    /// <param name="batches">Batches.</param>
    /// <param name="size">Scenes of a batch.</param>
    /// <param name="learns">What they are for.</param>
    public ExampleStream(QuestionPacker packer, Split split, int first, int batches, int size, Learns learns)
    {
        _drawing = Task.Run(() =>
        {
            try
            {
                for (int i = 0; i < batches; i++)
                    _waiting.Add([.. Enumerable.Range(first + (i * size), size).Select(scene => Draw(packer, split, scene, learns))], _stop.Token);
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

    /// <summary>One scene, with some of its questions where they are for more than the vision tower.</summary>
    private static Example Draw(QuestionPacker packer, Split split, int index, Learns learns)
    {
        Scene scene = World.Scene(split, index);
        var random = new Random(index);
        bool taught = split == Split.Training && learns is Learns.Vision or Learns.Start;
        if (taught && learns == Learns.Vision && index % MarkedEvery == 1) scene = WithMarks(scene, random);
        var owners = new PatchOwners(scene, DemoModel.Vision.PatchSize);
        RgbImage picture = SceneRenderer.Render(scene);
        PictureColours colours = PictureColours.World;
        // The first of them in none.
        if (taught && index % Cycle < (learns == Learns.Vision ? OtherColoursSeen : OtherColoursAskedAbout))
            (picture, colours) = index % Cycle == 0 ? ColourShift.Grey(picture) : ColourShift.Draw(picture, scene, random);
        // Patches are asked where they are learned from, and where the vision tower is checked.
        (Label[][] labels, Label[][] around) = taught || learns == Learns.Vision ? (PatchLabels.Of(scene, owners, colours), PatchLabels.Around(scene, owners, colours)) : ([], []);
        if (learns == Learns.Vision) return new Example(picture, owners, labels, around, PackedQuestions.None);
        // Each round asks about other objects; what they have in common is asked once.
        Question[] questions = [.. Enumerable.Range(0, Rounds).SelectMany(round => World.Questions(split, index, round, scene)).DistinctBy(question => question.Text)];
        return new Example(picture, owners, labels, around, packer.Pack(scene, questions, random, colours));
    }

    // Something written on every object: the vision tower sees three times as many digits and letters.
    private static Scene WithMarks(Scene scene, Random random) => scene with
    {
        Objects = [.. scene.Objects.Select(item => item with { Mark = item.Mark ?? PatchLabels.Marks[random.Next(PatchLabels.Marks.Length)] })],
    };
}
