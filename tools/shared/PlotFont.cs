using ScottPlot;

namespace LlavaSp.Tools;

/// <summary>A font for the plots of developers' tools: the library's SkiaSharp knows none of the system's, and leaves text in none out in silence.</summary>
internal static class PlotFont
{
    private const string Name = "DejaVu Sans", File = "DejaVuSans.ttf", Folder = "/usr/share/fonts";

    /// <exception cref="LlavaSpException">It is not installed.</exception>
    public static void Use()
    {
        string path = (Directory.Exists(Folder) ? Directory.EnumerateFiles(Folder, File, SearchOption.AllDirectories).FirstOrDefault() : null)
            ?? throw new LlavaSpException($"the plot needs {File} below {Folder}: install the package fonts-dejavu-core");
        Fonts.AddFontFile(Name, path, bold: false, italic: false);
        Fonts.AddFontFile(Name, path, bold: true, italic: false);
        Fonts.Default = Name;
    }
}
