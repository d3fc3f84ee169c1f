using System.Diagnostics;
using System.Globalization;
using LlavaSp.Cli.Output;

namespace LlavaSp.Cli.Running;

/// <summary>Largest resident memory that this process has had.</summary>
internal static class PeakMemory
{
    private const string Status = "/proc/self/status", Field = "VmHWM:";

    /// <summary>In words, with that of a device that has memory of its own.</summary>
    public static string Text(LlavaSpModel model) =>
        ByteSize.Text(Bytes()) + (model.PeakDeviceBytes > 0 ? $", of the device {ByteSize.Text(model.PeakDeviceBytes)}" : "");

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
