using System.Text;
using Microsoft.Win32.SafeHandles;

namespace LlavaSp.Cli.Running;

/// <summary>
/// Standard output into a pipe. The runtime's own stream drops what it cannot write when the reader has gone, so that a long answer would be computed
/// for nobody; this one says so.
/// </summary>
internal static class PipeOutput
{
    private const int BrokenPipeError = 32;

    /// <summary>Takes over <see cref="Console.Out"/> where that is a pipe.</summary>
    public static void Install()
    {
        if (OperatingSystem.IsWindows() || !Console.IsOutputRedirected) return;
        var stream = new FileStream(new SafeFileHandle(1, ownsHandle: false), FileAccess.Write, bufferSize: 0);
        // A file shares its position with the processes around this one, which FileStream does not respect.
        if (stream.CanSeek) return;
        Console.SetOut(new StreamWriter(stream, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false)) { AutoFlush = true });
    }

    public static bool IsBrokenPipe(IOException exception) => !OperatingSystem.IsWindows() && exception.HResult == BrokenPipeError;
}
