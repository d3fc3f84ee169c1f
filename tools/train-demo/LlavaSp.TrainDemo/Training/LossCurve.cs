using LlavaSp.Tools;
using ScottPlot;

namespace LlavaSp.TrainDemo.Training;

/// <summary>A plot of the training: the loss of the answers, and how many of the validation scenes' are right.</summary>
internal static class LossCurve
{
    private const int Width = 1200, Height = 900;

    private const string Start = "start";

    /// <summary>Writes it as PNG; nothing before the first answer was learned.</summary>
    public static void Write(IReadOnlyList<LogEntry> log, string path)
    {
        LogEntry[] read = [.. log.Where(entry => entry.AnswerLoss is not null)];
        if (read.Length == 0) return;
        PlotFont.Use();
        var plots = new Multiplot();
        plots.AddPlots(2);
        Plot losses = plots.GetPlot(0), accuracies = plots.GetPlot(1);
        int begin = read.Where(entry => entry.Phase == Start).Select(entry => entry.Pictures).DefaultIfEmpty(0).Max();
        foreach (var model in read.GroupBy(entry => entry.Phase.Split('-')[0]))
        {
            int stage1 = model.Where(entry => entry.Phase.EndsWith("stage1", StringComparison.Ordinal)).Select(entry => entry.Pictures).DefaultIfEmpty(0).Max();
            Add(losses, model.Key, [.. model.Select(entry => (Place(entry), entry.AnswerLoss!.Value))]);
            Add(accuracies, model.Key, [.. model.Where(entry => entry.Accuracy is not null).Select(
                entry => (Place(entry), 100 * entry.Accuracy!.Where(pair => !pair.Key.StartsWith("patch", StringComparison.Ordinal)).Average(pair => pair.Value)))]);

            double Place(LogEntry entry) =>
                entry.Pictures + (entry.Phase == Start ? 0 : begin + (entry.Phase.EndsWith("stage2", StringComparison.Ordinal) ? stage1 : 0));
        }

        losses.YLabel("loss of the answers' tokens");
        accuracies.YLabel("right answers, mean of the families, %");
        accuracies.XLabel("pictures seen");
        losses.ShowLegend(Alignment.UpperRight);
        accuracies.ShowLegend(Alignment.LowerRight);
        plots.SavePng(path, Width, Height);
    }

    private static void Add(Plot plot, string name, (double X, double Y)[] points)
    {
        if (points.Length == 0) return;
        ScottPlot.Plottables.Scatter line = plot.Add.ScatterLine(points.Select(point => point.X).ToArray(), points.Select(point => point.Y).ToArray());
        line.LegendText = name;
        line.LineWidth = 2;
    }
}
