using LlavaSp.Checkpoints;

namespace LlavaSp.Cli.Running;

/// <summary>Exit codes of the tool.</summary>
internal static class ExitCode
{
    public const int Success = 0;

    /// <summary>Wrong input, or a machine that cannot do what was asked.</summary>
    public const int WrongInput = 2;

    /// <summary>A defect of this program (sysexits.h: EX_SOFTWARE).</summary>
    public const int InternalError = 70;

    /// <summary>The reader of standard output went away, as shells report it.</summary>
    public const int BrokenPipe = 141;
}

/// <summary>Turns whatever goes wrong into one line on standard error and an exit code; a stack trace is never an answer.</summary>
internal static class ErrorBoundary
{
    private const string TraceVariable = "LLAVA_SP_TRACE";

    public static async Task<int> RunAsync(Func<Task<int>> body)
    {
        try
        {
            return await body();
        }
        catch (OperationCanceledException)
        {
            return Interruption.CancelledCode;
        }
        catch (IOException e) when (PipeOutput.IsBrokenPipe(e))
        {
            return ExitCode.BrokenPipe;
        }
        catch (Exception e)
        {
            return Report(e);
        }
    }

    /// <summary>The one line that tells about an exception.</summary>
    public static string Line(Exception exception) => Refusal.OneLine(exception switch
    {
        LlavaSpException => exception.Message,
        OutOfMemoryException => "not enough memory: use --weights int8 or int4, fewer --max-new-tokens, or a machine with more of it",
        IOException or UnauthorizedAccessException => $"reading or writing failed: {exception.Message}",
        _ => $"internal error: {exception.GetType().Name}: {exception.Message} (run with {TraceVariable}=1 for the stack)",
    });

    private static int Report(Exception exception)
    {
        Notes.Write(Line(exception));
        if (Environment.GetEnvironmentVariable(TraceVariable) == "1") Console.Error.WriteLine(exception);
        return exception is LlavaSpException or OutOfMemoryException or IOException or UnauthorizedAccessException
            ? ExitCode.WrongInput
            : ExitCode.InternalError;
    }
}
