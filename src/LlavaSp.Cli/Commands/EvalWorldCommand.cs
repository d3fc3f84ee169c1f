using System.CommandLine;
using LlavaSp.Cli.Options;
using LlavaSp.Cli.Output;
using LlavaSp.Cli.Running;
using LlavaSp.Worlds.Export;
using LlavaSp.Worlds.Rendering;
using LlavaSp.Worlds.Scenes;

namespace LlavaSp.Cli.Commands;

/// <summary><c>llava-sp eval world</c>: drawn scenes with their questions as a benchmark that <c>eval run</c> takes.</summary>
internal static class EvalWorldCommand
{
    private const int LargestSide = 4096;

    public static Command Create()
    {
        var command = new Command("world", "Draw scenes with questions and exact answers, as a benchmark for eval run");
        var output = new Option<string>("--out") { Description = "Folder to make; it must not be there yet", HelpName = "DIR", Required = true };
        Option<Split?> split = Choices.OneOf<Split?>(
            "--split", "Which scenes; the demo models were trained on those of training [default: test]",
            ("training", Split.Training), ("validation", Split.Validation), ("test", Split.Test));
        var first = new Option<int>("--first") { Description = "First scene", HelpName = "N" };
        var count = new Option<int>("--count") { Description = "Scenes", HelpName = "N", DefaultValueFactory = static _ => 100 };
        var side = new Option<int>("--side")
        {
            Description = "Pixels along an edge of a picture; the demo models see 168",
            HelpName = "N",
            DefaultValueFactory = static _ => SceneRenderer.DefaultSide,
        };
        foreach (Option option in (Option[])[output, split, first, count, side]) command.Add(option);
        command.SetAction(parsed => Run(
            parsed.GetValue(output)!, parsed.GetValue(split) ?? Split.Test, parsed.GetValue(first), parsed.GetValue(count), parsed.GetValue(side)));
        return command;
    }

    private static int Run(string output, Split split, int first, int count, int side)
    {
        if (first < 0 || count < 1 || (long)first + count > int.MaxValue) throw new LlavaSpException($"--first {first} --count {count}: give a first scene from 0 and at least one scene");
        if (side is < 16 or > LargestSide) throw new LlavaSpException($"--side {side}: give 16 to {LargestSide}");
        if (Path.Exists(output)) throw new LlavaSpException($"{output} is there already: give --out another name, or delete it");
        using var interruption = new Interruption();
        CancellationToken cancelled = interruption.Begin();
        // Under another name until it is complete.
        string temporary = $"{Path.TrimEndingDirectorySeparator(output)}.{Path.GetRandomFileName()}.tmp";
        try
        {
            ProgressDisplay.Counted("drawing", count, onDrawn => BenchmarkFolder.Write(temporary, split, first, count, side, () =>
            {
                cancelled.ThrowIfCancellationRequested();
                onDrawn();
            }));
            Directory.Move(temporary, output);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new LlavaSpException($"{output} cannot be written: {e.Message}", e);
        }
        finally
        {
            if (Directory.Exists(temporary)) Directory.Delete(temporary, recursive: true);
        }

        Console.Out.WriteLine($"{output}: {count} scenes; questions.jsonl, answers.jsonl, truth.json, existence.jsonl, images");
        return ExitCode.Success;
    }
}
