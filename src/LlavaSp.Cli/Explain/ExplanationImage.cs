using System.Globalization;
using LlavaSp.Backends;
using LlavaSp.Explanation;
using LlavaSp.Imaging;
using SkiaSharp;

namespace LlavaSp.Cli.Explain;

/// <summary>
/// Draws an explanation: what the spatial tokens of the whole picture read, their detail fusion, and what each word of the answer attends to.
/// </summary>
internal static class ExplanationImage
{
    private const int PanelWidth = 216, LeastHeight = 72, MostHeight = 432, Gap = 12, Line = 18, BarHeight = 26, PanelsInRow = 6;

    // More do not help anybody; the JSON has them all.
    private const int MostWords = 24;

    private static readonly SKColor Heat = new(255, 90, 0), Ink = new(30, 30, 30), Paper = SKColors.White, Bar = new(0, 110, 200);

    /// <summary>Bytes of a PNG.</summary>
    /// <param name="explanation">The answer.</param>
    /// <param name="picture">The picture's part.</param>
    /// <param name="image">The picture itself.</param>
    /// <param name="question">The question.</param>
    /// <param name="layers">Layers to show, null for their mean.</param>
    /// <param name="font">For labels.</param>
    public static byte[] Draw(
        AnswerExplanation explanation, PictureExplanation picture, RgbImage image, string question, IReadOnlyList<int?> layers, LabelFont font)
    {
        List<Section> sections = [.. Spatial(picture), .. Words(explanation, picture, layers)];
        int panelHeight = (int)Math.Clamp(PanelWidth * (long)image.Height / image.Width, LeastHeight, MostHeight);
        int width = Gap + (PanelsInRow * (PanelWidth + Gap)), height = Gap + (2 * Line) + sections.Sum(section => section.Height(panelHeight)) + Gap;
        using var bitmap = new SKBitmap(new SKImageInfo(width, height, SKColorType.Rgba8888, SKAlphaType.Opaque));
        using var canvas = new SKCanvas(bitmap);
        using SKImage source = ToImage(image);
        canvas.Clear(Paper);
        font.Write(canvas, question, Gap, Gap + Line, 15, width - (2 * Gap), Ink);
        font.Write(canvas, explanation.Answer.Text, Gap, Gap + (2 * Line), 15, width - (2 * Gap), Heat);
        float y = Gap + (2 * Line);
        foreach (Section section in sections)
        {
            font.Write(canvas, section.Title, Gap, y + Gap + Line - 4, 13, width - (2 * Gap), Ink);
            for (int i = 0; i < section.Panels.Count; i++)
            {
                float x = Gap + (i % PanelsInRow * (PanelWidth + Gap)), top = y + Gap + Line + (i / PanelsInRow * Section.RowHeight(panelHeight));
                DrawPanel(canvas, section.Panels[i], source, picture, new SKRect(x, top, x + PanelWidth, top + panelHeight), font);
            }

            y += section.Height(panelHeight);
        }

        using SKPixmap pixmap = bitmap.PeekPixels()!;
        using SKData png = pixmap.Encode(SKEncodedImageFormat.Png, 100)!;
        return png.ToArray();
    }

    // Of the first tile, which under anyres is the whole picture.
    private static IEnumerable<Section> Spatial(PictureExplanation picture)
    {
        SpatialTokenView[] tokens = [.. picture.SpatialTokens.Where(token => token.Tile == 0)];
        if (tokens.Length == 0) yield break;
        bool crops = tokens[0].Mode == SpatialMode.Cropping;
        yield return new Section(
            crops ? "What each spatial token reads (SFE, Cropping: the middle of the picture)" : "What each spatial token reads (SFE, Pooling: averages of the whole picture)",
            [.. tokens.Select((token, i) => new Panel($"token {i + 1}: {token.KernelSize} x {token.KernelSize}", "", Grid(token), Outlined: true, []))]);
        if (picture.DetailFusion is not [var fusion, ..]) yield break;
        int positions = fusion.Regions.Count;
        List<PictureRegion> places = SideBySide(fusion.Regions);
        yield return new Section(
            $"Detail fusion: attention of each spatial token over {positions} positions, drawn side by side (DFI)",
            [.. tokens.Select((_, i) => new Panel(
                $"token {i + 1}", "", [.. places.Select((region, j) => (region, fusion.Shares[(i * positions) + j]))], Outlined: false, []))]);
    }

    // The regions of a square of positions overlap: equal parts of what they cover together show one beside the other.
    private static List<PictureRegion> SideBySide(IReadOnlyList<PictureRegion> regions)
    {
        int side = (int)Math.Sqrt(regions.Count);
        double left = regions[0].Left, top = regions[0].Top, width = (regions[^1].Right - left) / side, height = (regions[^1].Bottom - top) / side;
        return [.. Enumerable.Range(0, regions.Count).Select(i => new PictureRegion(
            left + (i % side * width), top + (i / side * height), left + (((i % side) + 1) * width), top + (((i / side) + 1) * height)))];
    }

    private static List<(PictureRegion, float)> Grid(SpatialTokenView token)
    {
        // Cropping reads single patches, Pooling averages: k x k cells of the region either way.
        int k = token.KernelSize;
        double width = (token.Region.Right - token.Region.Left) / k, height = (token.Region.Bottom - token.Region.Top) / k;
        return [.. Enumerable.Range(0, k * k).Select(cell => (new PictureRegion(
            token.Region.Left + (cell % k * width), token.Region.Top + (cell / k * height),
            token.Region.Left + (((cell % k) + 1) * width), token.Region.Top + (((cell / k) + 1) * height)), 0.3f))];
    }

    private static IEnumerable<Section> Words(AnswerExplanation explanation, PictureExplanation picture, IReadOnlyList<int?> layers)
    {
        foreach (int? layer in layers)
        {
            string more = explanation.Words.Count > MostWords ? $", the first {MostWords} of {explanation.Words.Count}" : "";
            yield return new Section(
                $"Attention from each word of the answer{more} ({LayerChoice.Name(layer)}; bars: spatial tokens)",
                [.. explanation.Words.Take(MostWords).Select(word => WordPanel(word, explanation.AttentionOf(word, layer), picture))]);
        }
    }

    private static Panel WordPanel(AnswerWord word, float[] shares, PictureExplanation picture)
    {
        var cells = new List<(PictureRegion, float)>();
        var tokens = new float[picture.SpatialTokens.Count];
        for (int i = 0; i < picture.Positions.Count; i++)
        {
            PicturePosition position = picture.Positions[i];
            float share = shares[picture.First + i];
            if (position.SpatialToken >= 0) tokens[position.SpatialToken] += share;
            else if (position.Region is { } region) cells.Add((region, share));
        }

        float patches = cells.Sum(cell => cell.Item2);
        string shown = string.Create(CultureInfo.InvariantCulture, $"patches {100 * patches:f0} %, spatial tokens {100 * tokens.Sum():f0} %");
        return new Panel(word.Text, shown, cells, Outlined: false, tokens);
    }

    private static void DrawPanel(SKCanvas canvas, Panel panel, SKImage source, PictureExplanation picture, SKRect area, LabelFont font)
    {
        canvas.Save();
        canvas.ClipRect(area);
        canvas.DrawImage(source, area, new SKSamplingOptions(SKCubicResampler.Mitchell));
        using var veil = new SKPaint { Color = new SKColor(0, 0, 0, 130) };
        canvas.DrawRect(area, veil);
        float most = panel.Cells.Select(cell => cell.Share).DefaultIfEmpty(0).Max();
        using var fill = new SKPaint { IsAntialias = false };
        using var line = new SKPaint { Style = SKPaintStyle.Stroke, Color = Heat, StrokeWidth = 1 };
        foreach (var (region, share) in panel.Cells)
        {
            var rectangle = new SKRect(X(region.Left), Y(region.Top), X(region.Right), Y(region.Bottom));
            float strength = panel.Outlined ? share : most > 0 ? 0.85f * share / most : 0;
            fill.Color = Heat.WithAlpha((byte)(255 * strength));
            canvas.DrawRect(rectangle, fill);
            if (panel.Outlined) canvas.DrawRect(rectangle, line);
        }

        canvas.Restore();
        font.Write(canvas, panel.Label, area.Left, area.Bottom + Line - 4, 12, PanelWidth, Ink);
        font.Write(canvas, panel.Shares, area.Left, area.Bottom + (2 * Line) - 5, 11, PanelWidth, Ink);
        DrawBars(canvas, panel.Bars, area.Left, area.Bottom + (2 * Line) + BarHeight - 4);

        float X(double at) => area.Left + (float)(at * area.Width / picture.Width);

        float Y(double at) => area.Top + (float)(at * area.Height / picture.Height);
    }

    private static void DrawBars(SKCanvas canvas, IReadOnlyList<float> bars, float left, float bottom)
    {
        float most = bars.DefaultIfEmpty(0).Max();
        if (most <= 0) return;
        float step = Math.Min(24f, PanelWidth / (float)bars.Count);
        using var paint = new SKPaint { Color = Bar };
        for (int i = 0; i < bars.Count; i++)
            canvas.DrawRect(new SKRect(left + (i * step), bottom - ((BarHeight - 6) * bars[i] / most), left + (i * step) + (step * 0.8f), bottom), paint);
    }

    private static SKImage ToImage(RgbImage image) =>
        SKImage.FromPixelCopy(new SKImageInfo(image.Width, image.Height, SKColorType.Rgba8888, SKAlphaType.Opaque), image.ToRgba());

    /// <summary>Panels under a title, in rows.</summary>
    private sealed record Section(string Title, IReadOnlyList<Panel> Panels)
    {
        public int Height(int panelHeight) => Gap + Line + (((Panels.Count + PanelsInRow - 1) / PanelsInRow) * RowHeight(panelHeight));

        public static int RowHeight(int panelHeight) => panelHeight + (2 * Line) + BarHeight;
    }

    /// <summary>The picture once, with what is drawn over it.</summary>
    /// <param name="Label">Below it.</param>
    /// <param name="Shares">Below that.</param>
    /// <param name="Cells">Rectangles and how strong each is.</param>
    /// <param name="Outlined">Whether their edges are drawn, and strengths are as they are; else the strongest sets the scale.</param>
    /// <param name="Bars">Shares of the spatial tokens.</param>
    private sealed record Panel(string Label, string Shares, IReadOnlyList<(PictureRegion Region, float Share)> Cells, bool Outlined, IReadOnlyList<float> Bars);
}
