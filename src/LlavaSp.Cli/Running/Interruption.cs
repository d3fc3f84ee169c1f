using System.Runtime.InteropServices;

namespace LlavaSp.Cli.Running;

/// <summary>Ctrl-C: the first one cancels the work at hand, the next one, or one while nothing is at work, ends the program.</summary>
internal sealed class Interruption : IDisposable
{
    private readonly PosixSignalRegistration _registration;
    private readonly Lock _lock = new();
    private CancellationTokenSource? _work;

    public Interruption() => _registration = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);

    /// <summary>Work begins, which the next Ctrl-C cancels.</summary>
    public CancellationToken Begin()
    {
        lock (_lock) return (_work = new CancellationTokenSource()).Token;
    }

    /// <summary>The work is over.</summary>
    public void End()
    {
        lock (_lock) _work = null;
    }

    public void Dispose() => _registration.Dispose();

    private void OnSignal(PosixSignalContext context)
    {
        lock (_lock)
        {
            if (_work is null || _work.IsCancellationRequested) return;
            context.Cancel = true;
            _work.Cancel();
        }
    }
}
