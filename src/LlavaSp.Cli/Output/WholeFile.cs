using System.Text;
using LlavaSp.Checkpoints;

namespace LlavaSp.Cli.Output;

/// <summary>A file that is written whole or not at all.</summary>
internal static class WholeFile
{
    /// <summary>Fails now where <see cref="Write"/> would fail later, after the work.</summary>
    /// <exception cref="LlavaSpException">The file cannot be written.</exception>
    public static void RequireWritable(string path) => Guarded(path, () =>
    {
        if (Directory.Exists(path)) throw new IOException("it is a folder");
        string probe = Temporary(path);
        using (new FileStream(probe, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1, FileOptions.DeleteOnClose)) { }
    });

    /// <summary>Writes it, over what was there.</summary>
    /// <exception cref="LlavaSpException">The file cannot be written; what was there stays.</exception>
    public static void Write(string path, string text) =>
        WriteAsync(path, stream => stream.WriteAsync(Encoding.UTF8.GetBytes(text)).AsTask()).GetAwaiter().GetResult();

    /// <summary>Writes it from a stream, over what was there.</summary>
    /// <exception cref="LlavaSpException">The file cannot be written; what was there stays.</exception>
    public static async Task WriteAsync(string path, Func<Stream, Task> write)
    {
        RequireWritable(path);
        FileSizeLimit.FailWrites();
        string temporary = Temporary(path);
        try
        {
            await using (FileStream stream = File.Create(temporary)) await write(stream);
            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception cause)
        {
            File.Delete(temporary);
            if (IsFailure(cause)) throw Refusal(path, cause);
            throw;
        }
    }

    private static string Temporary(string path) => $"{path}.{Path.GetRandomFileName()}.tmp";

    private static void Guarded(string path, Action action)
    {
        try
        {
            action();
        }
        catch (Exception cause) when (IsFailure(cause))
        {
            throw Refusal(path, cause);
        }
    }

    private static bool IsFailure(Exception cause) => cause is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException;

    private static LlavaSpException Refusal(string path, Exception cause) => new($"{path} cannot be written: {cause.Message}");
}
