using System.Runtime.CompilerServices;

namespace LlavaSp.Tests;

/// <summary>Paths of the golden data: tests/goldens of this repository, and the shared folder for what may not be committed.</summary>
internal static class Goldens
{
    public static string Root { get; } = Path.Combine(SourceFolder(), "..", "goldens");

    public static string Images => Path.Combine(Root, "images");

    public static string Checkpoints => Path.Combine(Root, "checkpoints");

    /// <summary>The Llama tokenizer.model, third-party data that is read where it lies and never committed; null when it is not there.</summary>
    public static string? LlamaTokenizer
    {
        get
        {
            string path = Path.Combine(SourceFolder(), "..", "..", "..", "shared", "goldens", "tokenizer-llama", "tokenizer.model");
            return File.Exists(path) ? path : null;
        }
    }

    public static string Image(char letter) => Directory.GetFiles(Images, $"{letter}_*.png").Single();

    public static string Checkpoint(string name) => Path.Combine(Checkpoints, name);

    public static string Golden(params string[] parts) => Path.Combine([Root, "goldens", .. parts]);

    private static string SourceFolder([CallerFilePath] string file = "") => Path.GetDirectoryName(file)!;
}
