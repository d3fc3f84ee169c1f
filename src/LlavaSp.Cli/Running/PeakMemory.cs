using System.Diagnostics;
using System.Globalization;

namespace LlavaSp.Cli.Running;

/// <summary>Largest resident memory that this process has had.</summary>
internal static class PeakMemory
{
    private const string Status = "/proc/self/status", Field = "VmHWM:";

    /// <summary>In bytes; memory-mapped files count while their pages are resident.</summary>
    public static long Bytes()
    {
        if (OperatingSystem.IsLinux() && File.Exists(Status))
        {
            string? line = File.ReadLines(Status).FirstOrDefault(text => text.StartsWith(Field, StringComparison.Ordinal));
            string[] parts = line?.Split(' ', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries) ?? [];
            if (parts.Length == 3 && long.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out long kibibytes)) return kibibytes << 10;
        }

        using Process self = Process.GetCurrentProcess();
        return self.PeakWorkingSet64;
    }
}
