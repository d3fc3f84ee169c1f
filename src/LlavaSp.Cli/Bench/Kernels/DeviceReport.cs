using System.Globalization;
using LlavaSp.Backends.Cuda;
using LlavaSp.Backends.Cuda.Driver;
using LlavaSp.Cli.Output;
using Spectre.Console;

namespace LlavaSp.Cli.Bench.Kernels;

/// <summary>The result of <c>llava-sp bench kernels</c> on a GPU, as tables or JSON.</summary>
/// <param name="results">What was measured, in the order of the graph.</param>
/// <param name="skipped">What was not, and why.</param>
/// <param name="backend">The device.</param>
/// <param name="card">The same in figures.</param>
/// <param name="yardstick">Which cuBLAS was there, or why none.</param>
/// <param name="runs">Batches of launches of which times are the median.</param>
internal sealed class DeviceReport(
    IReadOnlyList<DeviceResult> results, IReadOnlyList<string> skipped, CudaBackend backend, Card card, string yardstick, int runs)
{
    private const double Giga = 1e9, Tera = 1e12, Percent = 0.01;

    private readonly string _device = backend.Info.Device;
    private readonly string _driver = CudaLibrary.VersionOf(backend.Device.Driver);
    private readonly string _peaks = DeviceCard.Explain(backend.Device);

    private readonly IReadOnlyList<KernelColumn<DeviceResult>> _columns =
    [
        Microseconds("us", "milliseconds", static timing => timing.Median), Microseconds("min", "min", static timing => timing.Min),
        Microseconds("max", "max", static timing => timing.Max),
        KernelColumn<DeviceResult>.Number("GB/s", "bytes_per_second", "", static result => result.BytesPerSecond, Giga),
        KernelColumn<DeviceResult>.Number("TFLOP/s", "operations_per_second", "", static result => result.OperationsPerSecond, Tera),
        KernelColumn<DeviceResult>.Number("of peak %", "share_of_peak", "f1", result => result.ShareOfPeak(card), Percent),
        KernelColumn<DeviceResult>.Number("occupancy %", "occupancy", "f0", static result => result.Occupancy, Percent),
        KernelColumn<DeviceResult>.Number("cuBLAS us", "cublas_milliseconds", "", static result => result.Cublas?.Median ?? double.NaN, 1e-3),
        KernelColumn<DeviceResult>.Number("cuBLAS / ours", "cublas_ratio", "f2", static result => result.CublasRatio),
    ];

    /// <summary>Tables for a person.</summary>
    public void WriteText()
    {
        TextWriter output = Console.Out;
        output.WriteLine($"device: {_device}, {card.Name}, {card.Architecture}, {card.Multiprocessors} SMs, {_driver}");
        output.WriteLine(Invariant(
            $"peaks: {card.MemoryBytes / Giga:f0} GB/s, f16 {card.F16 / Tera:f1} TFLOP/s, int8 {card.Int8 / Tera:f1} TOP/s; L2 {card.CacheBytes >> 20} MB"));
        output.WriteLine(_peaks);
        output.WriteLine($"cuBLAS: {yardstick}");
        output.WriteLine($"median of {runs} batches of launches, each batch a CUDA graph; bytes and operations are the least that the result asks for");
        string[] headers = [.. EmulatorReport.CaseColumns.Select(static column => column.Header), .. _columns.Select(static column => column.Header)];
        foreach (IGrouping<string, DeviceResult> stage in results.GroupBy(static result => result.Case.Stage))
        {
            var table = new Table { Border = TableBorder.Simple, Title = new TableTitle(Markup.Escape(stage.Key)) };
            int texts = 3;
            foreach (string header in headers)
            {
                var column = new TableColumn(header);
                table.AddColumn(texts-- > 0 ? column : column.RightAligned());
            }

            foreach (DeviceResult result in stage)
                table.AddRow([.. EmulatorReport.CaseColumns.Select(c => Markup.Escape(c.Text(result.Case))), .. _columns.Select(c => c.Text(result))]);
            Consoles.Out.Write(table);
        }
    }

    /// <summary>One JSON object.</summary>
    public void WriteJson() => JsonOutput.Write(json =>
    {
        json.WriteString("device", _device);
        json.WriteString("card", card.Name);
        json.WriteString("architecture", card.Architecture);
        json.WriteString("driver", _driver);
        json.WriteNumber("multiprocessors", card.Multiprocessors);
        json.Object("peaks", () =>
        {
            json.Number("bytes_per_second", card.MemoryBytes);
            json.Number("f16_operations_per_second", card.F16);
            json.Number("int8_operations_per_second", card.Int8);
            json.WriteString("reason", _peaks);
        });
        json.WriteString("cublas", yardstick);
        json.WriteNumber("runs", runs);
        json.WriteStartArray("kernels");
        foreach (DeviceResult result in results)
        {
            json.WriteStartObject();
            json.WriteString("stage", result.Case.Stage);
            foreach (KernelColumn<KernelCase> column in EmulatorReport.CaseColumns) column.WriteJson(json, result.Case);
            json.Number("operations", result.Case.Operations);
            json.WriteNumber("launches_of_batch", result.Launches);
            json.WriteNumber("copies", result.Copies);
            foreach (KernelColumn<DeviceResult> column in _columns) column.WriteJson(json, result);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.Texts("skipped", skipped);
    });

    // A kernel's microseconds to three digits; JSON has them in full, which JsonOutput would cut.
    private static KernelColumn<DeviceResult> Microseconds(string header, string field, Func<LaunchTiming, double> value) => new(
        header, result => KernelColumn<DeviceResult>.Cell(value(result.Timing) * 1e3, ""),
        (json, result) => json.WriteNumber(field, Math.Round(value(result.Timing), 6)));

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
