using System.Globalization;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

namespace LlavaSp.Benchmarks;

/// <summary>A column computed from a case's cost and the median of its time.</summary>
/// <param name="name">Header.</param>
/// <param name="legend">What it means.</param>
/// <param name="text">From the case and seconds.</param>
internal sealed class CostColumn(string name, string legend, Func<KernelCase, double, string> text) : IColumn
{
    private const string None = "-";

    public string Id => name;

    public string ColumnName => name;

    public bool AlwaysShow => true;

    public ColumnCategory Category => ColumnCategory.Custom;

    public int PriorityInCategory => 0;

    public bool IsNumeric => true;

    public UnitType UnitType => UnitType.Dimensionless;

    public string Legend => legend;

    public bool IsAvailable(Summary summary) => true;

    public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase) => GetValue(summary, benchmarkCase, SummaryStyle.Default);

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style) =>
        summary[benchmarkCase]?.ResultStatistics is { } statistics && benchmarkCase.Parameters[nameof(NativeKernels.Case)] is KernelCase kernel
            ? text(kernel, statistics.Median * 1e-9)
            : None;

    /// <summary>Rates, and their shares of the machine's ceilings.</summary>
    public static IColumn[] All(Machine machine) =>
    [
        new CostColumn("GB/s", "Bytes that must be read, per second", (kernel, seconds) => kernel.Bytes == 0 ? None : Number(kernel.Bytes / seconds / 1e9)),
        new CostColumn("of read", "Share of the read bandwidth", (kernel, seconds) => kernel.Bytes == 0 ? None : Share(kernel.Bytes / seconds / machine.Ceilings.ReadBytes)),
        new CostColumn("Gop/s", "Operations per second, a multiply-add counted as two", (kernel, seconds) => Number(kernel.Operations / seconds / 1e9)),
        new CostColumn(
            "of peak", "Share of the peak of int8 dot products, or of float32 multiply-adds",
            (kernel, seconds) => Share(kernel.Operations / seconds / (kernel.Integers ? machine.Ceilings.Int8 : machine.Ceilings.Float32))),
    ];

    private static string Number(double value) => value.ToString("f1", CultureInfo.InvariantCulture);

    private static string Share(double value) => string.Create(CultureInfo.InvariantCulture, $"{value * 100:f0} %");
}
