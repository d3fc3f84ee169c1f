using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Backends.Cuda.Driver;
using LlavaSp.Cli.Bench.Kernels;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>
/// The kernels of the published 7B model against their bars (<see cref="KernelBars"/>), by what the emulator counts, and the document that says so.
/// </summary>
// Alone: the emulator counts, or leaves out, what anybody launches meanwhile.
[Collection("alone")]
public sealed class KernelBarsTests
{
    private const int Multiprocessors = 128, CellsOfOtherTables = 12;

    private static readonly IReadOnlyList<KernelCase> Cases = KernelCases.All(Multiprocessors);
    private static readonly KernelBudget Budget = KernelBudget.Load();

    /// <summary>Those that are quick, long products of which some blocks run, and what a decoded token streams; `bench kernels` counts all.</summary>
    public static TheoryData<string> Counted() => [.. Cases.Where(IsCounted).Select(static kernel => kernel.Name)];

    [Theory]
    [MemberData(nameof(Counted))]
    public void KernelsKeepTheirBars(string name)
    {
        using CudaBackend backend = Emulator();
        EmulatorResult result = new EmulatorBench(backend).Measure(Cases.Single(kernel => kernel.Name == name));
        Assert.Empty(KernelBars.Broken(result, Budget));
    }

    [Fact]
    public void ADecodedTokenMovesItsWeightsAndItsCacheOnce()
    {
        using CudaBackend backend = Emulator();
        DecodeStep step = DecodeStep.Measure(backend, "int4");
        TestContext.Current.TestOutputHelper?.WriteLine(EmulatorReport.Text(step));
        Assert.InRange(step.MemoryRatio, 1, KernelBars.MemoryRatio);
        Assert.InRange(step.LaunchesOfLayer, 1, KernelBars.LaunchesOfLayer);
    }

    [Fact]
    public void NoCaseIsThereTwice() => Assert.Equal(Cases.Count, Cases.Select(static kernel => kernel.Name).Distinct().Count());

    /// <summary>A document that was not made again after the list, the cards or the least bytes changed.</summary>
    [Fact]
    public void TheDocumentListsTheCases()
    {
        string[] expected =
        [
            .. Cases.GroupBy(static kernel => kernel.Stage).SelectMany(static stage => stage).Select(static kernel =>
                string.Join(" | ", EmulatorReport.CaseColumns.Select(column => column.Text(kernel))) + " … " + EmulatorReport.Floors.Text(kernel)),
        ];
        int columns = EmulatorReport.CaseColumns.Count;
        string[] listed =
        [
            .. File.ReadLines(Path.Combine(Goldens.Root, "..", "..", "docs", "kernels.md"))
                .Select(static line => line.Split('|', StringSplitOptions.TrimEntries))
                .Where(static cells => cells.Length > CellsOfOtherTables && cells[1] != "kernel" && !cells[1].StartsWith("---", StringComparison.Ordinal))
                .Select(cells => string.Join(" | ", cells[1..(columns + 1)]) + " … " + cells[^2]),
        ];
        Assert.Equal(expected, listed);
    }

    [Theory]
    [InlineData(0, 128, 256, 0, 2 / 6.0)]     // registers: two blocks of 8 warps of 48
    [InlineData(0, 64, 256, 0, 4 / 6.0)]
    [InlineData(0, 32, 128, 65536, 4 / 48.0)] // shared memory: one block of 100 KB
    [InlineData(2, 32, 128, 65536, 8 / 64.0)] // two of 164 KB
    [InlineData(3, 32, 128, 65536, 12 / 64.0)]
    [InlineData(2, 64, 512, 1024, 0.5)]
    [InlineData(0, 16, 32, 0, 0.5)]           // 24 blocks
    public void OccupancyIsThatOfTheCalculator(int card, int registers, int threads, int sharedBytes, double expected) =>
        Assert.Equal(expected, Card.All[card].Occupancy(registers, threads, sharedBytes), 6);

    private static bool IsCounted(KernelCase kernel)
    {
        bool quick = kernel.MinimumBytes < 20e6 && kernel.Operations < 1.5e9, product = kernel.Bound == KernelBound.Arithmetic && kernel.Operations > 5e9;
        return (quick && (kernel.Batch == 1 || kernel.Bound == KernelBound.Launch)) || (product && kernel.Batch == 1)
            || (kernel.Stage == "decode" && kernel.Batch == 1 && kernel.Weights == "int4:64");
    }

    private static CudaBackend Emulator() => CudaTesting.Create(multiprocessors: Multiprocessors, device: "cuda-emulator");
}
