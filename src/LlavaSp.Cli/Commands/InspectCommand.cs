using System.CommandLine;
using LlavaSp.Checkpoints;
using LlavaSp.Cli.Options;
using LlavaSp.Cli.Output;
using LlavaSp.Cli.Running;

namespace LlavaSp.Cli.Commands;

/// <summary><c>llava-sp inspect DIR</c>: what a checkpoint is, what it holds, what is missing or unused.</summary>
internal static class InspectCommand
{
    public static Command Create()
    {
        var command = new Command("inspect", "Show a checkpoint: variant, sizes, tensors, and everything that is missing, misshapen or unused");
        var directory = new Argument<string>("DIR") { Description = "Checkpoint" };
        command.Add(directory);
        var location = new LocationOptions(command);
        var tensors = new Option<bool>("--tensors") { Description = "List every tensor: name, type, shape, file" };
        Option<bool> json = Choices.Json();
        command.Add(tensors);
        command.Add(json);
        command.SetAction(parsed =>
            Run(location.Read(parsed, parsed.GetValue(directory)!), parsed.GetValue(tensors), parsed.GetValue(json)));
        return command;
    }

    private static int Run(ModelLocation location, bool tensors, bool json)
    {
        CheckpointInspection inspection = CheckpointInspection.Open(location);
        if (json) JsonOutput.Write(writer => InspectionJson.Write(writer, inspection, tensors));
        else InspectionText.Write(Console.Out, inspection, tensors);
        if (inspection.IsComplete) return ExitCode.Success;
        throw new CheckpointException(
            $"{location.Model}: cannot be loaded: {inspection.Missing.Count} tensor(s) missing, {inspection.Problems.Count} other problem(s)");
    }
}
