using System.Globalization;

namespace LlavaSp.Peers.Report;

/// <summary>What the measurements were made on.</summary>
internal static class Machine
{
    // Those that matrix products may use.
    private static readonly string[] InstructionSets =
    [
        "avx2", "fma", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512vbmi", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16",
    ];

    /// <summary>Model, processors, memory and instruction sets in one line.</summary>
    public static string Describe()
    {
        string[] processor = File.ReadAllLines("/proc/cpuinfo");
        string model = Field(processor, "model name") ?? "unknown processor";
        string[] flags = (Field(processor, "flags") ?? "").Split(' ');
        double memory = double.Parse(
            Field(File.ReadAllLines("/proc/meminfo"), "MemTotal")!.Split(' ')[0], CultureInfo.InvariantCulture) / (1 << 20);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{model}, {Environment.ProcessorCount} processors, {memory:f0} GiB; {string.Join(' ', InstructionSets.Where(flags.Contains))}");
    }

    private static string? Field(IEnumerable<string> lines, string name) =>
        lines.FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal))?.Split(':', 2)[1].Trim();
}
