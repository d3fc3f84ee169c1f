using Spectre.Console;

namespace LlavaSp.Cli.Output;

/// <summary>Spectre's consoles, made when first needed: its start-up is not free. Without a terminal they write plain lines.</summary>
internal static class Consoles
{
    // Lines in a file are not broken.
    private const int FileWidth = 1000;

    private static readonly Lazy<IAnsiConsole> StandardOutput = new(() => Create(Console.Out, Console.IsOutputRedirected));
    private static readonly Lazy<IAnsiConsole> StandardError = new(() => Create(Console.Error, Console.IsErrorRedirected));

    public static IAnsiConsole Out => StandardOutput.Value;

    public static IAnsiConsole Error => StandardError.Value;

    private static IAnsiConsole Create(TextWriter writer, bool redirected)
    {
        // Some continuous-integration machines make Spectre believe that a file understands colours.
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(writer),
            Ansi = redirected ? AnsiSupport.No : AnsiSupport.Detect,
            ColorSystem = redirected ? ColorSystemSupport.NoColors : ColorSystemSupport.Detect,
            Interactive = redirected ? InteractionSupport.No : InteractionSupport.Detect,
        });
        if (redirected) console.Profile.Width = FileWidth;
        return console;
    }
}
