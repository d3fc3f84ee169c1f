using System.CommandLine;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;
using LlavaSp;
using LlavaSp.Cli.Commands;
using LlavaSp.Cli.Running;

return await ErrorBoundary.RunAsync(async () =>
{
    PipeOutput.Install();
    RootCommand root = new("LLaVA-SP on this machine: a picture and a question in, an answer out.")
    {
        DemoCommand.Create(),
        DescribeCommand.Create(),
        ChatCommand.Create(),
        ExplainCommand.Create(),
        InspectCommand.Create(),
        ConvertCommand.CreateConvert(),
        ConvertCommand.CreateQuantize(),
        TraceCommand.Create(),
        BenchCommand.Create(),
        EvalCommand.Create(),
    };

    // A prompt may begin with '@': nothing on the command line is the name of a file with more arguments.
    ParseResult result = root.Parse(args.Length == 0 ? ["--help"] : args, new ParserConfiguration { ResponseFileTokenReplacer = null });
    if (result.Action is ParseErrorAction)
    {
        bool atRoot = result.CommandResult.Command == root;
        throw new LlavaSpException(atRoot && result.UnmatchedTokens.Count > 0
            ? $"there is no command '{result.UnmatchedTokens[0]}': try llava-sp --help"
            : $"{string.Join("; ", result.Errors.Select(error => error.Message.TrimEnd('.')))}: "
                + $"try llava-sp {NamesOf(result.CommandResult)}--help");
    }

    return await result.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
});

// Each command's name and a blank, without the tool's own.
static string NamesOf(CommandResult result) => result.Parent is CommandResult parent ? $"{NamesOf(parent)}{result.Command.Name} " : "";
