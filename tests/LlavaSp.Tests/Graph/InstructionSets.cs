using System.Runtime.InteropServices;

namespace LlavaSp.Tests.Graph;

/// <summary>Names of the CPU engine's instruction sets, worst first, whether this machine has them or not.</summary>
internal static class InstructionSets
{
    public static readonly string[] OfThisArchitecture = RuntimeInformation.ProcessArchitecture == Architecture.Arm64
        ? ["scalar", "neon", "dotprod", "i8mm"]
        : ["scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "amx"];
}
