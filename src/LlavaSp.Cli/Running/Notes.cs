using LlavaSp.Checkpoints;
using Microsoft.Extensions.Logging;

namespace LlavaSp.Cli.Running;

/// <summary>One-line remarks on standard error; standard output belongs to the answer.</summary>
internal static class Notes
{
    public static void Write(string line) => Console.Error.WriteLine($"llava-sp: {Refusal.OneLine(line)}");
}

/// <summary>The library's log as notes, for <c>--verbose</c>.</summary>
internal sealed class NoteLogger : ILogger
{
    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (IsEnabled(logLevel)) Notes.Write(formatter(state, exception));
    }
}
