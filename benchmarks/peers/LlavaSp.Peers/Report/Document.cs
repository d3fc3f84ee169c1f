using System.Globalization;
using System.Text;
using LlavaSp.Peers.Accuracy;

namespace LlavaSp.Peers.Report;

/// <summary>The document of a comparison: what was measured on, a table, a plot.</summary>
internal static class Document
{
    private const string Name = "performance";

    /// <summary>Writes <c>performance.md</c> and <c>performance.png</c> into a folder.</summary>
    public static void Write(Results results, string folder)
    {
        Directory.CreateDirectory(folder);
        IReadOnlyList<Row> rows = Rows.Of(results);
        // They are bars for the whole model.
        if (results.Quick) rows = [.. rows.Select(row => row with { Bar = null })];
        string? plot = Path.Combine(folder, Name + ".png");
        if (!Plot.Write(rows, plot)) plot = null;
        var text = new StringBuilder();
        Head(text, results);
        Table(text, rows);
        if (plot is not null) text.AppendLine($"![LlavaSp and its peers]({Name}.png)").AppendLine();
        All(text, rows);
        Missing(text, results);
        Errors(text, results);
        if (!results.Quick) Findings(text);
        Method(text, results);
        string file = Path.Combine(folder, Name + ".md");
        File.WriteAllText(file, text.ToString());
        Console.WriteLine(text);
        Console.Error.WriteLine($"Written to {file}");
    }

    private static void Head(StringBuilder text, Results results)
    {
        text.AppendLine("# Performance on the CPU").AppendLine();
        text.AppendLine("Written by `benchmarks/peers/run`: LlavaSp beside llama.cpp, TorchSharp and ONNX Runtime at the shapes of the 7B model, random weights.").AppendLine();
        if (results.Quick) text.AppendLine($"**A rehearsal** with {Shapes.QuickLayers} decoder layers: its figures mean nothing.").AppendLine();
        text.AppendLine($"- {results.Machine}; {Shapes.Threads} threads");
        text.AppendLine($"- {results.Date}, commit {results.Commit}, {Processes(results)} each");
        text.AppendLine(Invariant(
            $"- ceilings, measured in the same runs: read {results.Ceiling("read_gigabytes_per_second"):f1} GB/s, float32 {results.Ceiling("float32_gflops"):f0} GFLOP/s, int8 {results.Ceiling("int8_gops"):f0} Gop/s"));
        string[] versions = [.. results.Runs.Values.SelectMany(runs => runs).Select(run => run.Version).Distinct()];
        text.AppendLine($"- {string.Join("; ", versions.Where(version => version.Length > 0))}").AppendLine();
        text.AppendLine("The bars were set on a machine that reads 25 GB/s and multiplies 310 GFLOP/s and 1,200 Gop/s, which is what their shares of the ceiling are of: on another, the shares are what counts.").AppendLine();
    }

    private static void Table(StringBuilder text, IReadOnlyList<Row> rows)
    {
        text.AppendLine("| | bar | LlavaSp | best peer | LlavaSp is better by | of its ceiling |");
        text.AppendLine("|---|---|---|---|---|---|");
        foreach (Row row in rows)
        {
            string bar = row.Bar is { Value: var value } ? $"{(row.MoreIsBetter ? "≥" : "≤")} {Number(value, row.Unit)}{Verdict(row.Reached)}" : "";
            string best = row.Best is { } rival ? $"{Text(rival.Value, row.Unit)}, {Label(rival)}" : row.Rivals.Count == 0 ? "" : "missing";
            string ratio = row is { Best.Value: { } other, Ours: not null } ? Invariant($"{row.Against(other):f2} x") : "";
            string share = row.Share is { } part ? $"{Number(part.Value.Median, Unit.Share)} {part.Ceiling}" : "";
            if (row.Bar?.Share is { } least) share += $"; bar {Number(least, Unit.Share)}{Verdict(row.SharesReached)}";
            text.AppendLine($"| {row.Title} | {bar} | {Text(row.Ours, row.Unit)} | {best} | {ratio} | {share} |");
        }

        text.AppendLine();
    }

    private static void All(StringBuilder text, IReadOnlyList<Row> rows)
    {
        text.AppendLine("## Every peer").AppendLine();
        text.AppendLine("| | LlavaSp | peers |");
        text.AppendLine("|---|---|---|");
        foreach (Row row in rows.Where(row => row.Rivals.Count > 0))
            text.AppendLine($"| {row.Title} | {Text(row.Ours, row.Unit)} | {string.Join("; ", row.Rivals.Select(rival => $"{Label(rival)}: {Text(rival.Value, row.Unit)}"))} |");
        text.AppendLine();
    }

    private static void Missing(StringBuilder text, Results results)
    {
        if (results.Missing.Count == 0) return;
        text.AppendLine("Missing:").AppendLine();
        foreach ((string id, string reason) in results.Missing) text.AppendLine($"- {Sources.Get(id).Label}: {reason}");
        text.AppendLine();
    }

    private static void Method(StringBuilder text, Results results)
    {
        text.AppendLine("## How it was measured").AppendLine();
        text.AppendLine($"- Every figure is the median of {Processes(results)}, smallest and largest in parentheses; LlavaSp and the peers of a group ran in turn.");
        text.AppendLine(Invariant(
            $"- A prompt has {Shapes.Prompt} positions; decode is {Shapes.DecodeTokens} tokens, one by one. llama.cpp has one batch for the prompt, flash attention where it chooses it itself (its default), no huge pages."));
        text.AppendLine($"- ONNX Runtime computes {Shapes.OnnxInt8Layers} decoder layers in 8 bits, {Shapes.OnnxInt4Layers} in 4, which are extrapolated to {Shapes.Layers}, and the output matrix. Its products in 8 bits quantise activations dynamically, with one scale for a whole tensor; its 4 bits are in groups of 64, as LlavaSp's.");
        text.AppendLine("- llama.cpp maps its file and keeps a repacked copy of most weights: both count as resident while memory is not short.");
        text.AppendLine("- Every library uses the instruction sets that it finds and knows; those that LlavaSp and llama.cpp chose are named above.");
        text.AppendLine("- Peers have no spatial tokens: their time for a picture is the vision tower and the projector alone. Their time to the first token is the sum of picture and prefill.");
    }

    private static void Errors(StringBuilder text, Results results)
    {
        var errors = new List<(string Label, double Plain, double Outliers)>();
        foreach (Source source in Sources.All)
        {
            if (!results.Runs.TryGetValue(source.Id, out List<Measurement>? runs)) continue;
            foreach ((string name, double plain) in runs[0].Metrics.Where(metric => metric.Key.StartsWith(Metric.ErrorOf, StringComparison.Ordinal)))
            {
                if (runs[0].Metrics.TryGetValue(name + Metric.WithOutliers, out double outliers))
                    errors.Add(($"{source.Peer} {name[Metric.ErrorOf.Length..]}", plain, outliers));
            }
        }

        if (errors.Count == 0) return;
        text.AppendLine("## What the formats cost").AppendLine();
        text.AppendLine($"Relative error of one product of {ProductProblem.Rows} x {ProductProblem.Inputs} x {ProductProblem.Outputs}, normal weights and activations; with outliers, four channels of the activations are sixty times the others, as in CLIP and Llama. Of whole models: [accuracy.md](accuracy.md).").AppendLine();
        text.AppendLine("| | plain | with outliers |");
        text.AppendLine("|---|---|---|");
        foreach ((string label, double plain, double outliers) in errors) text.AppendLine(Invariant($"| {label} | {plain * 100:f2} % | {outliers * 100:f2} % |"));
        text.AppendLine();
    }

    /// <summary>What was found out about the figures: written by hand, kept beside the program.</summary>
    private static void Findings(StringBuilder text)
    {
        string file = Path.Combine(AppContext.BaseDirectory, "findings.md");
        if (File.Exists(file)) text.AppendLine(File.ReadAllText(file).Trim()).AppendLine();
    }

    private static string Verdict(bool? reached) => reached switch { null => "", true => ", reached", false => ", **missed**" };

    private static string Processes(Results results) => results.Repeats == 1 ? "one process" : $"{results.Repeats} processes";

    private static string Label(Rival rival) => Sources.Get(rival.Source).Label + (rival.Note.Length == 0 ? "" : $" ({rival.Note})");

    private static string Text(Spread? spread, Unit unit) => spread is null
        ? "missing"
        : $"{Number(spread.Median, unit)} ({Bare(spread.Min, unit)} - {Bare(spread.Max, unit)})";

    private static string Number(double value, Unit unit) => Bare(value, unit) + unit switch
    {
        Unit.Seconds => " s",
        Unit.TokensPerSecond => " tok/s",
        Unit.Bytes => " GB",
        _ => " %",
    };

    private static string Bare(double value, Unit unit) => unit switch
    {
        Unit.Bytes => Invariant($"{value / 1e9:f2}"),
        Unit.Share => Invariant($"{value * 100:f0}"),
        _ => value >= 20 ? Invariant($"{value:f1}") : Invariant($"{value:f2}"),
    };

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
