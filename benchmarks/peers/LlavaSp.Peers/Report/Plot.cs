using LlavaSp.Tools;
using ScottPlot;

namespace LlavaSp.Peers.Report;

/// <summary>A plot of how many times better LlavaSp is than each peer.</summary>
internal static class Plot
{
    private const int Width = 1200, BarHeight = 26, Frame = 160;

    /// <summary>Writes it; false where there is nothing to compare.</summary>
    public static bool Write(IReadOnlyList<Row> rows, string file)
    {
        var bars = new List<(string Label, double Value, Color Color)>();
        string[] peers = [.. Sources.All.Where(source => source.Measure is not null).Select(source => source.Peer).Distinct()];
        var palette = new ScottPlot.Palettes.Category10();
        foreach (Row row in rows.Where(row => row.Ours is not null))
        {
            foreach (Rival rival in row.Rivals.Where(rival => rival.Value is not null))
            {
                Source source = Sources.Get(rival.Source);
                bars.Add(($"{row.Title}: {source.Label}", row.Against(rival.Value!), palette.GetColor(Array.IndexOf(peers, source.Peer))));
            }
        }

        if (bars.Count == 0) return false;
        PlotFont.Use();
        using var plot = new ScottPlot.Plot();
        var ticks = new Tick[bars.Count];
        for (int i = 0; i < bars.Count; i++)
        {
            // The first row belongs at the top.
            int position = bars.Count - 1 - i;
            var bar = new Bar { Position = position, Value = bars[i].Value, FillColor = bars[i].Color, Size = 0.8, Label = FormattableString.Invariant($"{bars[i].Value:f2} x") };
            ScottPlot.Plottables.BarPlot added = plot.Add.Bar(bar);
            added.Horizontal = true;
            ticks[i] = new Tick(position, bars[i].Label);
        }

        plot.Add.VerticalLine(1, width: 2, color: Colors.Black);
        plot.Axes.Left.TickGenerator = new ScottPlot.TickGenerators.NumericManual(ticks);
        plot.Axes.Left.MajorTickStyle.Length = 0;
        plot.Axes.SetLimitsX(0, bars.Max(bar => bar.Value) * 1.12);
        plot.Title("How many times better LlavaSp is than each peer; the line is parity");
        plot.SavePng(file, Width, Frame + BarHeight * bars.Count);
        return true;
    }
}
