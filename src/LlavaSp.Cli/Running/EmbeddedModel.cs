using System.Reflection;
using System.Security.Cryptography;
using System.Text;

namespace LlavaSp.Cli.Running;

/// <summary>
/// The checkpoint and the pictures that are part of the program, so that it answers something without any download. The checkpoint is a tiny one with
/// random weights.
/// </summary>
internal static class EmbeddedModel
{
    /// <summary>Said whenever this model answers.</summary>
    public const string Meaningless =
        "the answer comes from the embedded demo checkpoint, a tiny one with random weights: its words are meaningless (give a trained one with --model)";

    private const string Folder = "llava-sp-v1-demo", ModelPrefix = "model/", SamplePrefix = "samples/";

    /// <summary>Unpacks the checkpoint to the user's cache where it does not lie there already, byte for byte.</summary>
    /// <returns>Its folder.</returns>
    /// <exception cref="LlavaSpException">The cache cannot be written.</exception>
    public static string Unpack() => Unpack(CacheRoot());

    /// <summary>As above, below a folder of the caller's choice.</summary>
    internal static string Unpack(string cache)
    {
        var files = Names(ModelPrefix).Select(name => (Path: name[ModelPrefix.Length..], Bytes: Read(name))).ToArray();
        string target = Path.Combine(cache, $"{Version}-{Hash(files)}");
        try
        {
            if (!IsIntact(target, files)) Write(target, files);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new LlavaSpException(
                $"{target}: the embedded checkpoint cannot be unpacked there ({e.Message}): set XDG_CACHE_HOME to a folder that can be written", e);
        }

        return Path.Combine(target, Folder);
    }

    /// <summary>Bytes of a sample picture, e.g. <c>shapes.png</c>.</summary>
    public static byte[] Sample(string name) => Read(SamplePrefix + name);

    private static string Version => typeof(EmbeddedModel).Assembly.GetName().Version!.ToString(3);

    private static IEnumerable<string> Names(string prefix) => Assembly.GetExecutingAssembly().GetManifestResourceNames()
        .Where(name => name.StartsWith(prefix, StringComparison.Ordinal)).Order(StringComparer.Ordinal);

    private static byte[] Read(string name)
    {
        using Stream stream = Assembly.GetExecutingAssembly().GetManifestResourceStream(name)
            ?? throw new InvalidOperationException($"{name} was not embedded");
        var bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return bytes;
    }

    private static string Hash((string Path, byte[] Bytes)[] files)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var (path, bytes) in files)
        {
            hash.AppendData(Encoding.UTF8.GetBytes($"{path}\n{bytes.Length}\n"));
            hash.AppendData(bytes);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 6));
    }

    private static string CacheRoot()
    {
        string? cache = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
        // The XDG specification: a relative path is to be ignored.
        if (!Path.IsPathFullyQualified(cache ?? ""))
        {
            cache = OperatingSystem.IsWindows()
                ? Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData)
                : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile, Environment.SpecialFolderOption.DoNotVerify), ".cache");
        }

        return Path.GetFullPath(Path.Combine(cache!, "llava-sp"));
    }

    private static bool IsIntact(string target, (string Path, byte[] Bytes)[] files) => files.All(file =>
    {
        var info = new FileInfo(Path.Combine(target, file.Path));
        return info.Exists && info.Length == file.Bytes.Length && File.ReadAllBytes(info.FullName).AsSpan().SequenceEqual(file.Bytes);
    });

    private static void Write(string target, (string Path, byte[] Bytes)[] files)
    {
        string temporary = $"{target}.{Path.GetRandomFileName()}.tmp";
        try
        {
            foreach (var (path, bytes) in files)
            {
                string file = Path.Combine(temporary, path);
                Directory.CreateDirectory(Path.GetDirectoryName(file)!);
                File.WriteAllBytes(file, bytes);
            }

            if (Directory.Exists(target)) Directory.Delete(target, recursive: true);
            Directory.Move(temporary, target);
        }
        catch (IOException) when (IsIntact(target, files))
        {
            // Another process was faster.
        }
        finally
        {
            if (Directory.Exists(temporary)) Directory.Delete(temporary, recursive: true);
        }
    }
}
