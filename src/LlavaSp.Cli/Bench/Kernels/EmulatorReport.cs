using System.Globalization;
using System.Text.Json;
using LlavaSp.Cli.Output;
using Spectre.Console;

namespace LlavaSp.Cli.Bench.Kernels;

/// <summary>The result of <c>llava-sp bench kernels</c> on the emulator, as tables or JSON.</summary>
/// <param name="results">What was counted, in the order of the graph.</param>
/// <param name="budget">Registers.</param>
/// <param name="step">A whole token; null where it was not asked for.</param>
/// <param name="multiprocessors">SMs that launches were planned for.</param>
internal sealed class EmulatorReport(IReadOnlyList<EmulatorResult> results, KernelBudget budget, DecodeStep? step, int multiprocessors)
{
    private const double Million = 1e6, Microseconds = 1e6, Percent = 0.01;

    /// <summary>Columns that say what a case is; they name it in the document.</summary>
    public static IReadOnlyList<KernelColumn<KernelCase>> CaseColumns { get; } =
    [
        Text("kernel", static kernel => kernel.Kernel), Text("shape", static kernel => kernel.Shape), Text("weights", static kernel => kernel.Weights),
        KernelColumn<KernelCase>.Number("batch", "batch", "f0", static kernel => kernel.Batch),
        KernelColumn<KernelCase>.Number("launches", "launches", "f0", static kernel => kernel.Launches),
        Text("bound", static kernel => kernel.Bound.ToString().ToLowerInvariant()),
        KernelColumn<KernelCase>.Number("least MB", "least_bytes", "", static kernel => kernel.MinimumBytes, Million),
    ];

    /// <summary>Floors, from the case alone.</summary>
    public static KernelColumn<KernelCase> Floors { get; } = KernelColumn<KernelCase>.Cards(
        "floor us", "predicted_floor_microseconds", "", static (kernel, card) => card.FloorSeconds(kernel) * Microseconds);

    /// <summary>What was counted.</summary>
    public IReadOnlyList<KernelColumn<EmulatorResult>> Columns { get; } =
    [
        KernelColumn<EmulatorResult>.Number("moved MB", "memory_bytes", "", static result => result.MemoryBytes, Million),
        KernelColumn<EmulatorResult>.Number("moved / least", "memory_ratio", "f3", static result => result.MemoryRatio),
        KernelColumn<EmulatorResult>.Number("cache MB", "cache_bytes", "", static result => result.CacheBytes, Million),
        KernelColumn<EmulatorResult>.Number("sectors %", "sector_efficiency", "f1", static result => result.SectorEfficiency, Percent),
        KernelColumn<EmulatorResult>.Number("conflicts", "bank_conflicts", "f0", static result => result.Conflicts),
        KernelColumn<EmulatorResult>.Number("mma M", "mma", "", static result => result.Mma, Million),
        KernelColumn<EmulatorResult>.Cards("occupancy %", "occupancy", "f0", (result, card) => result.Occupancy(budget, card), Percent),
    ];

    /// <summary>SMs that launches were planned for.</summary>
    public int Multiprocessors => multiprocessors;

    /// <summary>A whole token.</summary>
    public DecodeStep? Step => step;

    /// <summary>The compiler that registers were counted by.</summary>
    public string Compiler => budget.Compiler;

    /// <summary>Stages in order, with their results.</summary>
    public IEnumerable<IGrouping<string, EmulatorResult>> Stages => results.GroupBy(static result => result.Case.Stage);

    /// <summary>Names of the kernels.</summary>
    public IEnumerable<string> Kernels => results.Select(static result => result.Case.Kernel).Distinct();

    /// <summary>Every column's title.</summary>
    public IEnumerable<string> Headers => [.. CaseColumns.Select(static c => c.Header), .. Columns.Select(static c => c.Header), Floors.Header];

    /// <summary>A row.</summary>
    public IEnumerable<string> Cells(EmulatorResult result) =>
        [.. CaseColumns.Select(c => c.Text(result.Case)), .. Columns.Select(c => c.Text(result)), Floors.Text(result.Case)];

    /// <summary>Kernels that fill less than half of an SM of one of the cards, as families, and why.</summary>
    public IEnumerable<(string Family, string Reason)> Reasons => results
        .Where(result => result.LeastOccupancy(budget) < KernelBars.Occupancy)
        .Select(result => (KernelBars.Family(result.Case.Kernel) ?? result.Case.Kernel, KernelBars.Reason(result.Case.Kernel) ?? "no reason is written"))
        .Distinct();

    /// <summary>Bars that do not hold, in words.</summary>
    public IEnumerable<string> Broken
    {
        get
        {
            foreach (string line in results.SelectMany(result => KernelBars.Broken(result, budget))) yield return line;
            if (step is null) yield break;
            if (!(step.MemoryRatio <= KernelBars.MemoryRatio)) yield return Invariant($"a decoded token: {step.MemoryRatio:f3} of weights and keys and values");
            if (step.LaunchesOfLayer > KernelBars.LaunchesOfLayer) yield return $"a decoded token: {step.LaunchesOfLayer} launches of a layer";
        }
    }

    /// <summary>The paragraph on a whole token.</summary>
    public static string Text(DecodeStep step) => string.Create(
        CultureInfo.InvariantCulture,
        $"One token of the whole decoder, {step.Weights} weights, at position {KernelCases.DecodeLength}: {step.LaunchesOfLayer} launches of each "
        + $"of {step.Layers} layers, {step.Launches} in all; {step.MemoryBytes / Million:f1} MB from and to memory, {step.MemoryRatio:f3} of the "
        + $"{step.MinimumBytes / Million:f1} MB of weights ({step.WeightBytes / Million:f1}) and keys and values ({step.CacheBytes / Million:f1}).");

    /// <summary>Cases that keep the bar of bytes only behind a larger cache than the smallest, in words.</summary>
    public IEnumerable<string> WantLargerCache => results.Select(KernelBars.WantsLargerCache).OfType<string>();

    /// <summary>Tables for a person.</summary>
    public void WriteText()
    {
        foreach (IGrouping<string, EmulatorResult> stage in Stages)
        {
            var table = new Table { Border = TableBorder.Simple, Title = new TableTitle(Markup.Escape(stage.Key)) };
            int texts = 3;
            foreach (string header in Headers)
            {
                var column = new TableColumn(header);
                table.AddColumn(texts-- > 0 ? column : column.RightAligned());
            }

            foreach (EmulatorResult result in stage) table.AddRow([.. Cells(result).Select(Markup.Escape)]);
            Consoles.Out.Write(table);
        }

        TextWriter output = Console.Out;
        output.WriteLine($"counted by the emulator, launches planned for {multiprocessors} SMs; occupancy and floors (predicted, not measured): "
            + string.Join(" / ", Card.All.Select(static card => card.Name)));
        if (step is not null) output.WriteLine(Text(step));
        foreach (string line in WantLargerCache) output.WriteLine($"wants a larger second-level cache: {line}");
        foreach (string line in Broken) output.WriteLine($"below its bar: {line}");
    }

    /// <summary>One JSON object.</summary>
    public void WriteJson() => JsonOutput.Write(json =>
    {
        json.WriteString("device", "cuda-emulator");
        json.WriteNumber("multiprocessors", multiprocessors);
        json.WriteString("registers_of", budget.Compiler);
        json.WriteStartArray("kernels");
        foreach (EmulatorResult result in results)
        {
            json.WriteStartObject();
            json.WriteString("stage", result.Case.Stage);
            foreach (KernelColumn<KernelCase> column in CaseColumns) column.WriteJson(json, result.Case);
            json.Number("operations", result.Case.Operations);
            foreach (KernelColumn<EmulatorResult> column in Columns) column.WriteJson(json, result);
            Floors.WriteJson(json, result.Case);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        if (step is not null)
        {
            json.Object("decode_step", () =>
            {
                json.WriteString("weights", step.Weights);
                json.WriteNumber("launches_of_layer", step.LaunchesOfLayer);
                json.WriteNumber("launches", step.Launches);
                json.Number("memory_bytes", step.MemoryBytes);
                json.Number("least_bytes", step.MinimumBytes);
                json.Number("memory_ratio", step.MemoryRatio);
            });
        }

        json.Texts("below_bar", Broken);
        json.Texts("want_larger_cache", WantLargerCache);
    });

    private static KernelColumn<KernelCase> Text(string header, Func<KernelCase, string> value) =>
        new(header, value, (json, kernel) => json.WriteString(header, value(kernel)));

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
