using OxyPlot;
using OxyPlot.Axes;
using OxyPlot.Legends;
using OxyPlot.Series;

namespace LlavaSp.Evaluation.Worlds.Report;

/// <summary>Bars by category, of several series beside each other or on top of each other.</summary>
internal sealed class BarChart
{
    // A renderer's sans-serif may be wider than the one that the library measures with.
    private const int Width = 900, Height = 420, LegendRoom = 40;

    // The legend is cut off where its text was measured to end.
    private const string Slack = "\u00A0\u00A0\u00A0\u00A0\u00A0\u00A0\u00A0\u00A0";

    // Share of a category's room that bars take.
    private const double Filled = 0.8;

    // Okabe and Ito's, which people who see few colours tell apart.
    private static readonly OxyColor[] Colours = [OxyColor.FromRgb(0x99, 0x99, 0x99), OxyColor.FromRgb(0xE6, 0x9F, 0), OxyColor.FromRgb(0x56, 0xB4, 0xE9), OxyColor.FromRgb(0, 0x9E, 0x73)];

    private readonly string _title, _unit;
    private readonly IReadOnlyList<string> _categories;
    private readonly List<(string Name, IReadOnlyList<Interval> Values)> _beside = [];
    private readonly List<(string Name, IReadOnlyList<double> Values)> _onTop = [];

    public BarChart(string title, string unit, IReadOnlyList<string> categories)
    {
        _title = title;
        _unit = unit;
        _categories = categories;
    }

    /// <summary>Adds bars with intervals beside the others.</summary>
    public void AddBeside(string name, IReadOnlyList<Interval> values) => _beside.Add((name, values));

    /// <summary>Adds bars on top of the others.</summary>
    public void AddOnTop(string name, IReadOnlyList<double> values) => _onTop.Add((name, values));

    /// <summary>Draws it.</summary>
    /// <param name="limit">Upper end of the axis; null leaves it to the bars.</param>
    public string Svg(double? limit = null)
    {
        var model = new PlotModel { Title = _title, TitleFontSize = 15, DefaultFont = "Arial", Background = OxyColors.White, Padding = new OxyThickness(8, 14, LegendRoom, 8) };
        model.Legends.Add(new Legend { LegendPlacement = LegendPlacement.Outside, LegendPosition = LegendPosition.RightTop, LegendLineSpacing = 6 });
        var categories = new CategoryAxis { Position = AxisPosition.Bottom };
        categories.Labels.AddRange(_categories);
        model.Axes.Add(categories);
        model.Axes.Add(new LinearAxis
        {
            Position = AxisPosition.Left,
            Title = _unit,
            Minimum = 0,
            Maximum = limit ?? double.NaN,
            MaximumPadding = 0.05,
            MajorGridlineStyle = LineStyle.Solid,
            MajorGridlineColor = OxyColors.LightGray,
        });
        DrawBeside(model);
        DrawOnTop(model);
        return new SvgExporter { Width = Width, Height = Height, UseVerticalTextAlignmentWorkaround = true }.ExportToString(model);
    }

    private void DrawBeside(PlotModel model)
    {
        double width = Filled / Math.Max(1, _beside.Count);
        var whiskers = new LineSeries { Color = OxyColors.Black, StrokeThickness = 1 };
        for (int i = 0; i < _beside.Count; i++)
        {
            RectangleBarSeries bars = Add(model, _beside[i].Name, i);
            for (int category = 0; category < _beside[i].Values.Count; category++)
            {
                Interval value = _beside[i].Values[category];
                double left = category - (Filled / 2) + (i * width);
                bars.Items.Add(new RectangleBarItem(left, 0, left + width, value.Value));
                whiskers.Points.Add(new DataPoint(left + (width / 2), value.Low));
                whiskers.Points.Add(new DataPoint(left + (width / 2), value.High));
                // Ends the line: the next one is another bar's.
                whiskers.Points.Add(DataPoint.Undefined);
            }
        }

        if (whiskers.Points.Count > 0) model.Series.Add(whiskers);
    }

    private void DrawOnTop(PlotModel model)
    {
        double[] heights = new double[_categories.Count];
        for (int i = 0; i < _onTop.Count; i++)
        {
            RectangleBarSeries bars = Add(model, _onTop[i].Name, i);
            for (int category = 0; category < heights.Length; category++)
            {
                double top = heights[category] + _onTop[i].Values[category];
                bars.Items.Add(new RectangleBarItem(category - (Filled / 2), heights[category], category + (Filled / 2), top));
                heights[category] = top;
            }
        }
    }

    private static RectangleBarSeries Add(PlotModel model, string name, int index)
    {
        var bars = new RectangleBarSeries { Title = name + Slack, FillColor = Colours[index % Colours.Length], StrokeThickness = 0 };
        model.Series.Add(bars);
        return bars;
    }
}
