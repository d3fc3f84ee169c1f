using LlavaSp.Checkpoints;

namespace LlavaSp.Evaluation.Benchmarks;

/// <summary>The folder of a benchmark's pictures. Names come from a file that others wrote: none of them leads out of the folder.</summary>
public sealed class PictureFolder
{
    private readonly string? _root;

    /// <summary>Takes a folder; null where no question names a picture.</summary>
    /// <exception cref="BenchmarkException">There is no such folder.</exception>
    public PictureFolder(string? path)
    {
        if (path is null) return;
        if (!Directory.Exists(path)) throw new BenchmarkException($"{path}: no such folder");
        _root = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)) + Path.DirectorySeparatorChar;
    }

    /// <summary>The file of a question's picture; null where it names none.</summary>
    /// <exception cref="BenchmarkException">The file is not there, or lies elsewhere.</exception>
    public string? PathOf(BenchmarkQuestion question)
    {
        ArgumentNullException.ThrowIfNull(question);
        if (question.Image is not { } image) return null;
        if (_root is null)
            throw new BenchmarkException($"question {Refusal.Quote(question.Id.Text)} has the picture {Refusal.Quote(image)}: give its folder with --images");
        if (image.Length == 0 || image.Contains('\0') || Path.IsPathRooted(image)) throw Outside(question);
        string path = Path.GetFullPath(Path.Combine(_root, image));
        if (!path.StartsWith(_root, StringComparison.Ordinal)) throw Outside(question);
        return File.Exists(path) ? path : throw new BenchmarkException(
            $"question {Refusal.Quote(question.Id.Text)}: there is no picture {Refusal.Quote(image)} in {_root}: check --images, or complete the folder");
    }

    private BenchmarkException Outside(BenchmarkQuestion question) => new(
        $"question {Refusal.Quote(question.Id.Text)}: its picture {Refusal.Quote(question.Image!)} is not the name of a file inside {_root}");
}
