using System.Globalization;

namespace LlavaSp.Tests.Checkpoints;

/// <summary>Tests that measure the process and so run alone.</summary>
[CollectionDefinition("alone", DisableParallelization = true)]
public sealed class Alone;

/// <summary>The growth of resident memory's peak from here on; skips the test where the peak cannot be reset.</summary>
internal sealed class ResidentMemory
{
    private const string Status = "/proc/self/status", Reset = "/proc/self/clear_refs";

    private readonly long _before;

    private ResidentMemory(long before) => _before = before;

    /// <summary>Bytes by which the peak exceeds what was resident at the beginning.</summary>
    public long Growth => Bytes("VmHWM") - _before;

    public static ResidentMemory Begin()
    {
        if (!File.Exists(Status) || !File.Exists(Reset)) Assert.Skip("the peak of resident memory can be reset and read on Linux only");
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        try
        {
            File.WriteAllText(Reset, "5");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Assert.Skip($"the peak of resident memory cannot be reset here: {e.Message}");
        }

        return new ResidentMemory(Bytes("VmRSS"));
    }

    private static long Bytes(string field) => 1024 * long.Parse(
        File.ReadLines(Status).First(line => line.StartsWith(field, StringComparison.Ordinal)).Split([' ', '\t', ':'], StringSplitOptions.RemoveEmptyEntries)[1],
        CultureInfo.InvariantCulture);
}
