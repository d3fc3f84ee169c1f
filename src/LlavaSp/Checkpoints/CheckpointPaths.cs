namespace LlavaSp.Checkpoints;

/// <summary>Finds the folders that a checkpoint names: a base model, a vision tower.</summary>
internal static class CheckpointPaths
{
    /// <summary>
    /// Resolves a name as config.json has it (<c>openai/clip-vit-large-patch14-336</c>): a path, a folder beside the checkpoint or up to two levels above it,
    /// with or without its first part, or the local cache of huggingface_hub.
    /// </summary>
    /// <returns>An existing folder, or null.</returns>
    public static string? Resolve(string checkpoint, string name)
    {
        string full = Path.GetFullPath(checkpoint), last = name.Split('/', '\\')[^1];
        if (name.Contains('\0', StringComparison.Ordinal) || last is "" or "." or "..") return null;
        string parent = Path.GetDirectoryName(full) ?? full, grandparent = Path.GetDirectoryName(parent) ?? parent;
        string[] candidates =
        [
            name, Path.Combine(full, name), Path.Combine(parent, name), Path.Combine(grandparent, name),
            Path.Combine(full, last), Path.Combine(parent, last), Path.Combine(grandparent, last),
        ];
        return candidates.FirstOrDefault(path => File.Exists(Path.Combine(path, "config.json"))) ?? FromHubCache(name);
    }

    /// <summary>Checks that a folder given by the user is one.</summary>
    public static string Require(string folder, string option)
    {
        if (Directory.Exists(folder)) return folder;
        throw new CheckpointException(File.Exists(folder)
            ? $"{folder}: is a file; {option} takes the checkpoint's folder"
            : $"{folder}: no such folder; {option} takes the checkpoint's folder");
    }

    private static string? FromHubCache(string name)
    {
        string home = Environment.GetEnvironmentVariable("HF_HOME")
            ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache", "huggingface");
        string snapshots = Path.Combine(home, "hub", "models--" + name.Replace("/", "--", StringComparison.Ordinal), "snapshots");
        return Directory.Exists(snapshots)
            ? Directory.GetDirectories(snapshots).Where(path => File.Exists(Path.Combine(path, "config.json"))).Order(StringComparer.Ordinal).FirstOrDefault()
            : null;
    }
}
