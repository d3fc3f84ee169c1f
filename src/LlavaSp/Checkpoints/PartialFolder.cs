namespace LlavaSp.Checkpoints;

/// <summary>A folder that is written beside its target and takes the target's name when it is complete; disposing it earlier deletes it.</summary>
internal sealed class PartialFolder : IDisposable
{
    private readonly string _path;
    private bool _complete;

    private PartialFolder(string target, string path) => (Target, _path) = (target, path);

    /// <summary>Full path that the folder will have.</summary>
    public string Target { get; }

    /// <summary>Path of a file in the unfinished folder.</summary>
    public string this[string name] => Path.Combine(_path, name);

    /// <summary>Creates the unfinished folder.</summary>
    /// <exception cref="LlavaSpException">The target is a file or a folder with something in it, or cannot be created.</exception>
    public static PartialFolder Create(string target)
    {
        if (target.Length == 0 || target.Contains('\0', StringComparison.Ordinal)) throw new LlavaSpException("the output folder has no valid name");
        string full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(target));
        if (File.Exists(full)) throw new LlavaSpException($"{Refusal.OneLine(target)}: is a file: give a folder that does not exist yet");
        return Guarded(full, () =>
        {
            if (Directory.Exists(full) && Directory.EnumerateFileSystemEntries(full).Any())
                throw new LlavaSpException($"{Refusal.OneLine(target)}: is there already and not empty: give a folder that does not exist yet");
            if (!Directory.Exists(Path.GetDirectoryName(full)))
                throw new LlavaSpException($"{Refusal.OneLine(target)}: the folder above it does not exist: create it first");
            string path = $"{full}.partial-{Path.GetRandomFileName()[..8]}";
            FileSizeLimit.FailWrites();
            Directory.CreateDirectory(path);
            return new PartialFolder(full, path);
        });
    }

    /// <summary>Runs something that writes into the folder.</summary>
    /// <exception cref="LlavaSpException">It could not be written.</exception>
    public void Guarded(Action write) => Guarded(Target, () =>
    {
        write();
        return true;
    });

    /// <summary>Gives the folder its name.</summary>
    /// <exception cref="LlavaSpException">The target has come into being meanwhile, or cannot be written.</exception>
    public void Complete() => Guarded(() =>
    {
        if (Directory.Exists(Target)) Directory.Delete(Target);
        Directory.Move(_path, Target);
        _complete = true;
    });

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_complete || !Directory.Exists(_path)) return;
        // Whatever led here is the news, not that the clean-up failed as well.
        try { Directory.Delete(_path, recursive: true); }
        catch (Exception cause) when (SafetensorsWriter.IsWriteFailure(cause)) { }
    }

    private static T Guarded<T>(string path, Func<T> write)
    {
        try
        {
            return write();
        }
        catch (Exception cause) when (SafetensorsWriter.IsWriteFailure(cause))
        {
            throw new LlavaSpException($"{Refusal.OneLine(path)}: cannot be written: {Refusal.OneLine(cause.Message)}", cause);
        }
    }
}
