using System.Runtime.InteropServices;

namespace LlavaSp.Cli.Running;

/// <summary>
/// Ctrl-C, SIGTERM and a terminal that is closed: the first one cancels the work at hand, so that nothing half-written stays behind; the next one, or one
/// while nothing is at work, ends the program.
/// </summary>
internal sealed class Interruption : IDisposable
{
    private static int _signal;

    private readonly PosixSignalRegistration[] _registrations;
    private readonly Lock _lock = new();
    private CancellationTokenSource? _work;

    public Interruption() => _registrations =
    [
        PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal),
        PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal),
        PosixSignalRegistration.Create(PosixSignal.SIGHUP, OnSignal),
    ];

    /// <summary>Exit code after the signal that cancelled the work, as shells report it.</summary>
    public static int CancelledCode => 128 + _signal;

    /// <summary>Whether the program is to end; Ctrl-C asks only for the end of the work.</summary>
    public bool IsEnding { get; private set; }

    /// <summary>Work begins, which the next signal cancels.</summary>
    public CancellationToken Begin()
    {
        lock (_lock) return (_work = new CancellationTokenSource()).Token;
    }

    /// <summary>The work is over.</summary>
    public void End()
    {
        lock (_lock) _work = null;
    }

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations) registration.Dispose();
    }

    private void OnSignal(PosixSignalContext context)
    {
        lock (_lock)
        {
            if (_work is null || _work.IsCancellationRequested) return;
            _signal = context.Signal switch { PosixSignal.SIGTERM => 15, PosixSignal.SIGHUP => 1, _ => 2 };
            IsEnding = context.Signal != PosixSignal.SIGINT;
            context.Cancel = true;
            _work.Cancel();
        }
    }
}
