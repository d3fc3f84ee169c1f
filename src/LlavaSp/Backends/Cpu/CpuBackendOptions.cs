namespace LlavaSp.Backends.Cpu;

/// <summary>How the CPU backend runs.</summary>
/// <param name="InstructionSet"><c>scalar</c>, <c>avx2</c>, <c>avxvnni</c>, <c>avx512</c>, <c>avx512vnni</c>, <c>amx</c>, on Arm <c>neon</c>, <c>dotprod</c>, <c>i8mm</c>, or null for the best of this machine.</param>
/// <param name="Threads">Threads, the calling one included; 0 takes every processor that the process may use.</param>
/// <param name="Int8Activations">
/// Whether activations are quantised to 8 bits (per row and group) where weights are integers: faster, with a rounding error of about 0.4 % of a group's largest
/// magnitude; else they stay float32.
/// </param>
public sealed record CpuBackendOptions(string? InstructionSet = null, int Threads = 0, bool Int8Activations = true);
