namespace LlavaSp.Checkpoints;

/// <summary>Finds the weights in a checkpoint's folder, whichever way they are stored.</summary>
public static class TensorFolder
{
    private const string Safetensors = ".safetensors", PyTorch = ".bin", Index = ".index.json";

    /// <summary>
    /// Opens <c>STEM.safetensors</c>, <c>STEM.safetensors.index.json</c>, <c>STEM.bin</c> or <c>STEM.bin.index.json</c>, the first that
    /// is there.
    /// </summary>
    /// <param name="folder">Folder of the checkpoint.</param>
    /// <param name="stem">E.g. <c>model</c>, <c>pytorch_model</c>, <c>adapter_model</c>, <c>non_lora_trainables</c>.</param>
    /// <exception cref="CheckpointException">None of them is there, or the one that is there is damaged.</exception>
    public static ITensorSource Open(string folder, string stem)
    {
        if (!Directory.Exists(folder)) throw Refusal.Of(folder, "there is no such folder");
        return TryOpen(folder, stem)
            ?? throw Refusal.Of(folder, $"has none of {string.Join(", ", Candidates(stem))}");
    }

    /// <summary>As <see cref="Open"/>, but null when the folder has none of the files.</summary>
    /// <exception cref="CheckpointException">The file that is there is damaged, or shards are there without their index.</exception>
    public static ITensorSource? TryOpen(string folder, string stem)
    {
        string? found = Candidates(stem).Select(name => Path.Combine(folder, name)).FirstOrDefault(File.Exists);
        if (found is null) RefuseOrphans(folder, stem);
        return found is null ? null : found.EndsWith(Index, StringComparison.Ordinal) ? ShardedTensors.Open(found) : OpenFile(found);
    }

    /// <summary>Opens one file by its extension: <c>.safetensors</c>, or <c>.bin</c> for PyTorch.</summary>
    /// <exception cref="CheckpointException">Another extension, or the file is missing or damaged.</exception>
    public static ITensorSource OpenFile(string path) => Path.GetExtension(path) switch
    {
        Safetensors => SafetensorsFile.Open(path),
        PyTorch => PyTorchFile.Open(path),
        _ => throw Refusal.Of(path, "is neither .safetensors nor .bin"),
    };

    private static string[] Candidates(string stem) =>
        [stem + Safetensors, stem + Safetensors + Index, stem + PyTorch, stem + PyTorch + Index];

    private static void RefuseOrphans(string folder, string stem)
    {
        if (!Directory.Exists(folder)) return;
        foreach (string extension in new[] { Safetensors, PyTorch })
        {
            if (FirstFile(folder, $"{stem}-*-of-*{extension}") is not { } shard) continue;
            throw Refusal.Of(shard, $"is one of several files, but their index {stem}{extension}{Index} is missing: download it too");
        }
    }

    private static string? FirstFile(string folder, string pattern)
    {
        try
        {
            return Directory.EnumerateFiles(folder, pattern).Order(StringComparer.Ordinal).FirstOrDefault();
        }
        catch (Exception cause) when (cause is IOException or UnauthorizedAccessException)
        {
            throw Refusal.Of(folder, $"cannot be read: {Refusal.OneLine(cause.Message)}", cause);
        }
    }
}
