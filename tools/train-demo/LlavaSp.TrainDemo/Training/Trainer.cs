using System.Diagnostics;
using System.Globalization;
using LlavaSp.Checkpoints;
using LlavaSp.TrainDemo.Data;
using LlavaSp.TrainDemo.Model;
using LlavaSp.Worlds.Scenes;
using Spectre.Console;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace LlavaSp.TrainDemo.Training;

/// <summary>Runs the phases of a model, each from where it was interrupted.</summary>
/// <param name="weights">The model.</param>
/// <param name="decoder">Sizes of its decoder.</param>
/// <param name="spatial">Its spatial tokens.</param>
/// <param name="packer">Packs questions.</param>
/// <param name="padding">Id behind the end of shorter lists.</param>
/// <param name="log">Gets what is measured.</param>
/// <param name="states">Folder of the phases' states.</param>
/// <param name="checkedScenes">Scenes of the validation split that accuracy is measured on.</param>
internal sealed class Trainer(
    NamedWeights weights, DecoderConfig decoder, SpatialConfig spatial, QuestionPacker packer, long padding, TrainingLog log, string states, int checkedScenes)
{
    private const int LogEvery = 50, SaveEvery = 100, CheckEvery = 500;

    // Each part of a batch on a thread of its own, without threads inside of operations: most are too small to be shared. A constant, so that the sums
    // are the same on every number of processors.
    private const int Parts = 2;

    /// <summary>Runs a phase to its end; the weights are then those behind it.</summary>
    /// <exception cref="OperationCanceledException">Cancelled; the state is saved.</exception>
    public void Run(Phase phase, ProgressTask progress, CancellationToken cancelled)
    {
        var state = new PhaseState(states, phase.Name);
        (int Step, double Seconds) done = (0, 0);
        Dictionary<string, Tensor> moments = [];
        if (state.Find() is { } found) moments = state.Load(done = found, weights);
        log.Rewind(phase.Name, done.Step);
        progress.MaxValue(phase.Steps);
        progress.Value(done.Step);
        if (done.Step < phase.Steps) Train(phase, progress, state, new Adam(weights, phase.Changes, moments), done, cancelled);
        foreach (var (name, tensor) in weights.All.ToList()) weights[name] = tensor.detach();
    }

    private void Train(Phase phase, ProgressTask progress, PhaseState state, Adam optimizer, (int Step, double Seconds) from, CancellationToken cancelled)
    {
        long start = Stopwatch.GetTimestamp();
        NamedWeights[] replicas = [.. Enumerable.Range(0, Parts).Select(_ => weights.Replica(phase.Changes))];
        foreach (NamedWeights replica in replicas) replica.IsBrief = Products.AreBrief;
        double answerLoss = 0, patchLoss = 0, gazeLoss = 0, mentionLoss = 0;
        int step = from.Step, since = 0;
        using var stream = new ExampleStream(
            packer, Split.Training, phase.FirstScene + (step * phase.Pictures), phase.Steps - step, phase.Pictures, phase.Learns);
        using var collections = new Collections();
        foreach (IReadOnlyList<Example> examples in stream.All())
        {
            collections.Allow();
            set_num_threads(1);
            var parts = new (double Answers, double Patches, double Gaze, double Mentions)[Parts];
            Parallel.For(0, Parts, new ParallelOptions { MaxDegreeOfParallelism = Parts }, part =>
            {
                int count = examples.Count / Parts;
                parts[part] = Gradients(phase, step, replicas[part], [.. examples.Skip(part * count).Take(count)]);
            });
            optimizer.Step(step, phase.RateAt(step), phase.WeightDecay, replicas);
            answerLoss += parts.Average(part => part.Answers);
            patchLoss += parts.Average(part => part.Patches);
            gazeLoss += parts.Average(part => part.Gaze);
            mentionLoss += parts.Average(part => part.Mentions);
            step++;
            since++;
            progress.Value(step);
            bool last = step == phase.Steps;
            double seconds = from.Seconds + Stopwatch.GetElapsedTime(start).TotalSeconds;
            if (step % LogEvery == 0 || last)
            {
                var entry = new LogEntry(
                    phase.Name, step, step * phase.Pictures, seconds, phase.Reads ? answerLoss / since : null, phase.Sees ? patchLoss / since : null,
                    phase.Teaches ? gazeLoss / since : null, phase.Teaches ? mentionLoss / since : null,
                    step % CheckEvery == 0 || last ? Check(phase) : null);
                log.Add(entry);
                Say(entry, phase);
                (answerLoss, patchLoss, gazeLoss, mentionLoss, since) = (0, 0, 0, 0, 0);
            }

            bool stop = cancelled.IsCancellationRequested;
            if (step % SaveEvery == 0 || last || stop) state.Save((step, seconds), weights, last ? null : optimizer);
            if (stop) cancelled.ThrowIfCancellationRequested();
        }
    }

    // Adds to the replica's gradients.
    private (double Answers, double Patches, double Gaze, double Mentions) Gradients(Phase phase, int step, NamedWeights replica, IReadOnlyList<Example> examples)
    {
        using DisposeScope scope = NewDisposeScope();
        var batch = new Batch(examples, padding);
        // Without a graph where the tower is not to learn.
        Tensor features;
        using (phase.Sees ? null : no_grad()) features = VisionTower.Forward(replica, DemoModel.Vision, DemoModel.VisionLayers, batch.Pictures);
        Tensor? patches = phase.Sees
            ? Heads.Patches.Loss(replica, features.flatten(0, 1), batch.Labels) + Heads.PatchSurroundings.Loss(replica, features.flatten(0, 1), batch.Around) : null;
        var (answers, gaze, mentions) = phase.Reads ? Answers(replica).Loss(batch, features, phase.Teaches) : default((Tensor?, Tensor?, Tensor?));
        Tensor loss = (answers ?? patches)!;
        using Scalar ofMentions = phase.MentionWeightAt(step);
        if (gaze is not null) loss = loss + gaze;
        if (mentions is not null) loss = loss + (mentions * ofMentions);
        loss.backward();
        return (answers?.item<float>() ?? 0, patches?.item<float>() ?? 0, gaze?.item<float>() ?? 0, mentions?.item<float>() ?? 0);
    }

    private AnswerLoss Answers(NamedWeights of) => new(of, decoder, new LlavaSpNet(of, DemoModel.Vision, spatial), packer);

    /// <summary>Accuracy on scenes of the validation split: of answers by family, of patches by task.</summary>
    private SortedDictionary<string, double> Check(Phase phase)
    {
        using IDisposable frozen = no_grad();
        set_num_threads(Environment.ProcessorCount);
        AnswerLoss answerLoss = Answers(weights);
        var counts = new SortedDictionary<string, (double Right, int All)>(StringComparer.Ordinal);
        using var stream = new ExampleStream(packer, Split.Validation, 0, Math.Max(1, checkedScenes / phase.Pictures), phase.Pictures, phase.Learns);
        foreach (IReadOnlyList<Example> examples in stream.All())
        {
            using DisposeScope scope = NewDisposeScope();
            var batch = new Batch(examples, padding);
            Tensor features = VisionTower.Forward(weights, DemoModel.Vision, DemoModel.VisionLayers, batch.Pictures);
            if (phase.Reads)
            {
                bool[] right = answerLoss.Right(batch, features);
                int at = 0;
                foreach (PackedAnswer answer in examples.SelectMany(example => example.Questions.Answers))
                    Count(answer.Question.Family.ToString().ToLowerInvariant(), right[at++] ? 1 : 0);
            }

            if (!phase.Sees) continue;
            CountPatches(Heads.Patches.Accuracy(weights, features.flatten(0, 1), batch.Labels), Enum.GetNames<PatchTask>());
            CountPatches(Heads.PatchSurroundings.Accuracy(weights, features.flatten(0, 1), batch.Around), Enum.GetNames<SurroundingTask>());
        }

        return new(counts.ToDictionary(pair => pair.Key, pair => pair.Value.Right / pair.Value.All), StringComparer.Ordinal);

        void CountPatches(double[] accuracies, string[] tasks)
        {
            for (int task = 0; task < tasks.Length; task++) Count($"patch {tasks[task].ToLowerInvariant()}", accuracies[task]);
        }

        void Count(string name, double right)
        {
            var (before, all) = counts.GetValueOrDefault(name);
            counts[name] = (before + right, all + 1);
        }
    }

    private static void Say(LogEntry entry, Phase phase)
    {
        var parts = new List<string> { Invariant($"{entry.Phase}, step {entry.Step} of {phase.Steps}, {entry.Pictures / entry.Seconds:f1} pictures/s") };
        if (entry.AnswerLoss is { } answers) parts.Add(Invariant($"loss of answers {answers:f3}"));
        if (entry.PatchLoss is { } patches) parts.Add(Invariant($"of patches {patches:f3}"));
        if (entry.GazeLoss is { } gaze) parts.Add(Invariant($"of gazes {gaze:f3}"));
        if (entry.MentionLoss is { } mentions) parts.Add(Invariant($"of mentions {mentions:f3}"));
        if (entry.Accuracy is { } right) parts.Add("right: " + string.Join(", ", right.Select(pair => Invariant($"{pair.Key} {100 * pair.Value:f1} %"))));
        AnsiConsole.WriteLine(string.Join("; ", parts));

        static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
    }
}
