using System.CommandLine;
using System.Runtime.InteropServices;
using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Text;
using LlavaSp.TrainDemo.Data;
using LlavaSp.TrainDemo.Export;
using LlavaSp.TrainDemo.Model;
using LlavaSp.Worlds.Language;
using Spectre.Console;
using TorchSharp;
using static TorchSharp.torch;

namespace LlavaSp.TrainDemo.Training;

/// <summary><c>train-demo train</c>: the three models, from nothing to published checkpoints.</summary>
internal static class TrainCommand
{
    private const long Seed = 2507;

    private const int CheckedScenes = 96, Interrupted = 130;

    public static Command Create()
    {
        var work = new Option<string>("--work") { Description = "Folder of the state from which an interrupted training goes on", HelpName = "DIR", Required = true };
        var output = new Option<string>("--out") { Description = "Folder for the checkpoints", HelpName = "DIR", Required = true };
        var plot = new Option<string>("--plot") { Description = "File for the loss curve", HelpName = "PNG", Required = true };
        var share = new Option<double>("--share") { Description = "Share of the steps, for trying it out", HelpName = "X", DefaultValueFactory = static _ => 1 };
        var command = new Command("train", "Train the demo models none, pooling and cropping, and export them") { work, output, plot, share };
        command.SetAction(parsed =>
        {
            using var stop = new CancellationTokenSource();
            using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop), end = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
            try
            {
                Run(parsed.GetValue(work)!, parsed.GetValue(output)!, parsed.GetValue(plot)!, parsed.GetValue(share), stop.Token);
                return 0;
            }
            catch (OperationCanceledException)
            {
                Console.Error.WriteLine("train-demo: interrupted; the same command goes on from here");
                return Interrupted;
            }

            void Stop(PosixSignalContext signal)
            {
                signal.Cancel = true;
                stop.Cancel();
            }
        });
        return command;
    }

    private static void Run(string work, string output, string plot, double share, CancellationToken cancelled)
    {
        if (share is not (> 0 and <= 1)) throw new LlavaSpException($"--share {share}: give a number above 0 and at most 1");
        string tokenizerFolder = Path.Combine(work, "tokenizer"), states = Path.Combine(work, "states");
        Directory.CreateDirectory(work);
        WorldVocabulary.Write(tokenizerFolder);
        LlavaTokenizer tokenizer = LlavaTokenizer.Load(tokenizerFolder);
        var packer = new QuestionPacker(tokenizer);
        DecoderConfig decoder = DemoModel.Decoder(tokenizer.VocabularySize);
        var log = new TrainingLog(Path.Combine(work, "log.jsonl"));
        var exporter = new CheckpointExporter(output, decoder, tokenizerFolder);

        // In a file, lines need not be broken.
        if (Console.IsOutputRedirected) AnsiConsole.Profile.Width = 1000;
        AnsiConsole.Progress().HideCompleted(false).Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn()).Start(progress =>
        {
            NamedWeights start = Common();
            exporter.WriteStart(start);
            foreach (SpatialMode? variant in Plan.Variants)
            {
                using DisposeScope scope = NewDisposeScope();
                NamedWeights weights = Variant(start, variant);
                Run(weights, variant, Plan.Stages(variant, share));
                exporter.WriteVariant(weights, variant);
            }

            NamedWeights Common()
            {
                manual_seed(Seed);
                NamedWeights weights = DemoModel.Fresh(decoder);
                Heads.AddAll(weights);
                Run(weights, null, Plan.Start(share));
                Heads.RemoveAll(weights);
                return weights;
            }

            void Run(NamedWeights weights, SpatialMode? variant, IReadOnlyList<Phase> phases)
            {
                var trainer = new Trainer(weights, decoder, DemoModel.Spatial(variant), packer, tokenizer.PadId ?? 0, log, states, (int)Math.Ceiling(CheckedScenes * share));
                foreach (Phase phase in phases)
                {
                    trainer.Run(phase, progress.AddTask(phase.Name), cancelled);
                    LossCurve.Write(log.Entries, plot);
                }
            }
        });

        // Its own weights over those of the start, which are rounded as they are stored: the adapter learns beside what users have.
        NamedWeights Variant(NamedWeights start, SpatialMode? variant)
        {
            manual_seed(Seed + 1);
            var weights = new NamedWeights();
            foreach (var (name, tensor) in start.All) weights[name] = tensor.to(ScalarType.Float16).to(ScalarType.Float32);
            if (variant is { } mode) DemoModel.AddSpatialTokens(weights, decoder, mode);
            DemoModel.AddLora(weights);
            return weights;
        }
    }
}
