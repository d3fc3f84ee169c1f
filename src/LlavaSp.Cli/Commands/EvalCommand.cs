using System.CommandLine;

namespace LlavaSp.Cli.Commands;

/// <summary><c>llava-sp eval</c>: a benchmark's questions answered, answers scored, files for evaluation servers; the demo models evaluated.</summary>
internal static class EvalCommand
{
    public static Command Create() => new("eval", "Run a benchmark, score its answers, write them as an evaluation server takes them, or evaluate the demo models")
    {
        EvalRunCommand.Create(),
        EvalScoreCommand.Create(),
        EvalSubmitCommand.Create(),
        EvalWorldCommand.Create(),
        EvalDemoCommand.Create(),
    };
}
