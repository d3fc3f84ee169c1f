using SkiaSharp;

namespace LlavaSp.Cli.Explain;

/// <summary>A font for labels. The graphics library finds the system's on Windows and macOS; on Linux it is looked for where fonts are installed.</summary>
internal sealed class LabelFont
{
    private static readonly string[] Preferred = ["DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "FreeSans.ttf"];

    private readonly SKTypeface? _face;

    private LabelFont(SKTypeface? face) => _face = face;

    /// <summary>Whether there is one.</summary>
    public bool IsFound => _face is not null;

    /// <summary>Looks for one.</summary>
    public static LabelFont Find()
    {
        if (HasLetters(SKTypeface.Default)) return new LabelFont(SKTypeface.Default);
        string home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile, Environment.SpecialFolderOption.DoNotVerify);
        string[] folders = ["/usr/share/fonts", "/usr/local/share/fonts", Path.Combine(home, ".local/share/fonts"), Path.Combine(home, ".fonts")];
        var anyDepth = new EnumerationOptions { RecurseSubdirectories = true, IgnoreInaccessible = true };
        string[] files = [.. folders.Where(Directory.Exists).SelectMany(folder => Directory.EnumerateFiles(folder, "*.ttf", anyDepth)).Order(StringComparer.Ordinal)];
        // Those that are known to have letters first; symbols are fonts too.
        var face = files.OrderBy(file => Array.IndexOf(Preferred, Path.GetFileName(file)) is >= 0 and var place ? place : Preferred.Length)
            .Select(static file => SKTypeface.FromFile(file)).FirstOrDefault(HasLetters);
        return new LabelFont(face);
    }

    /// <summary>Writes a line, cut where it would be wider than <paramref name="width"/>; nothing without a font.</summary>
    public void Write(SKCanvas canvas, string text, float x, float baseline, float size, float width, SKColor colour)
    {
        if (_face is null) return;
        using var font = new SKFont(_face, size) { Edging = SKFontEdging.Antialias };
        using var paint = new SKPaint { Color = colour, IsAntialias = true };
        string line = string.Concat(text.Select(character => char.IsControl(character) ? ' ' : character));
        if (font.MeasureText(line) > width)
        {
            while (line.Length > 0 && font.MeasureText(line + "…") > width) line = line[..^1];
            line += "…";
        }

        canvas.DrawText(line, x, baseline, SKTextAlign.Left, font, paint);
    }

    private static bool HasLetters(SKTypeface? face)
    {
        if (face is null) return false;
        using var font = new SKFont(face);
        return font.GetGlyph('a') != 0 && font.GetGlyph('Z') != 0;
    }
}
