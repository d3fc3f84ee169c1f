using System.CommandLine;

namespace LlavaSp.Cli.Commands;

/// <summary><c>llava-sp eval</c>: a benchmark's questions answered, answers scored, files for evaluation servers.</summary>
internal static class EvalCommand
{
    public static Command Create() => new("eval", "Run a benchmark, score its answers, or write them as an evaluation server takes them")
    {
        EvalRunCommand.Create(),
        EvalScoreCommand.Create(),
        EvalSubmitCommand.Create(),
        EvalWorldCommand.Create(),
    };
}
