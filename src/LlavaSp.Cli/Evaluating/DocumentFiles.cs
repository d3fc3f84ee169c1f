using LlavaSp.Cli.Output;
using LlavaSp.Evaluation.Worlds;
using LlavaSp.Evaluation.Worlds.Report;

namespace LlavaSp.Cli.Evaluating;

/// <summary>The document and, beside it, its plots: <c>evaluation.md</c>, <c>evaluation-accuracy.svg</c>.</summary>
internal sealed class DocumentFiles(string document)
{
    /// <summary>The document.</summary>
    public string Document => document;

    /// <summary>Fails now where <see cref="Write"/> would fail later, after the work.</summary>
    /// <exception cref="LlavaSpException">A file cannot be written.</exception>
    public void RequireWritable()
    {
        WholeFile.RequireWritable(document);
        foreach (PlotKind kind in Enum.GetValues<PlotKind>()) WholeFile.RequireWritable(Beside(NameOf(kind)));
    }

    /// <summary>Writes them, the document last, so that it never links to what is not there.</summary>
    /// <exception cref="LlavaSpException">A file cannot be written.</exception>
    public void Write(WorldEvaluation evaluation)
    {
        IReadOnlyDictionary<PlotKind, string> plots = Plots.Of(evaluation);
        foreach (var (kind, svg) in plots) WholeFile.Write(Beside(NameOf(kind)), svg);
        WholeFile.Write(document, MarkdownReport.Of(evaluation, plots.Keys.ToDictionary(kind => kind, NameOf)));
    }

    private string NameOf(PlotKind kind) => $"{Path.GetFileNameWithoutExtension(document)}-{kind.ToString().ToLowerInvariant()}.svg";

    private string Beside(string name) => Path.Combine(Path.GetDirectoryName(document) ?? "", name);
}
