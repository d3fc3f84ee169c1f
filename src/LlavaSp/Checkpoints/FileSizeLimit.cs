using System.Runtime.InteropServices;

namespace LlavaSp.Checkpoints;

/// <summary>
/// The limit on the size of a process's files (<c>ulimit -f</c>). Beyond it the kernel sends SIGXFSZ, whose default ends the process, whatever it has half
/// written; taken, it leaves a write that fails like any other.
/// </summary>
internal static class FileSizeLimit
{
    // On Linux and macOS.
    private const PosixSignal FileSizeExceeded = (PosixSignal)25;

    // For the rest of the process: the signal is handled on another thread, possibly after the failed write has been reported and everything cleaned up.
    private static readonly PosixSignalRegistration? Taken = OperatingSystem.IsWindows()
        ? null
        : PosixSignalRegistration.Create(FileSizeExceeded, static context => context.Cancel = true);

    /// <summary>From now on a write beyond the limit fails and does nothing else.</summary>
    public static void FailWrites() => GC.KeepAlive(Taken);
}
