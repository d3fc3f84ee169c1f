namespace LlavaSp.Backends.Cpu;

/// <summary>The best rates of a processor, all threads together.</summary>
/// <param name="ReadBytes">Bytes per second read from memory.</param>
/// <param name="Float32">float32 operations per second in registers, a multiply-add counted as two.</param>
/// <param name="Int8">8-bit operations per second of dot products in registers, a multiply and an add counted as two.</param>
public sealed record CpuCeilings(double ReadBytes, double Float32, double Int8);
