using System.Reflection;
using System.Security.Cryptography;
using System.Text;

namespace LlavaSp.Cli.Running;

/// <summary>
/// The checkpoints and the pictures that are part of the program, so that it answers without any download: the three demo models, which tools/train-demo
/// trained (docs/demo-model.md), beside their base model and CLIP.
/// </summary>
internal static class EmbeddedModel
{
    /// <summary>What it can do and what not; said whenever it answers.</summary>
    public const string Limits =
        "the embedded demo model answers: it knows drawn scenes of coloured shapes and nothing else, and errs there too, most often in descriptions, numbers and combinations that it was never shown "
        + "(give another model with --model)";

    /// <summary>The variant that answers where no model is given; docs/evaluation.md shows no difference between the two that have spatial tokens.</summary>
    public const string DefaultVariant = "cropping";

    private const string ModelPrefix = "model/", SamplePrefix = "samples/";

    /// <summary>Unpacks the checkpoints to the user's cache where it does not lie there already, byte for byte.</summary>
    /// <returns>The folder that holds theirs.</returns>
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
                $"{target}: the embedded checkpoints cannot be unpacked there ({e.Message}): set XDG_CACHE_HOME to a folder that can be written", e);
        }

        return target;
    }

    /// <summary>Where a variant lies in a folder of demo models: <c>none</c>, <c>pooling</c> or <c>cropping</c>.</summary>
    public static string FolderOf(string root, string variant) => Path.Combine(root, $"llava-sp-v1-demo-{variant}-lora");

    /// <summary>Bytes of a sample picture, e.g. <c>table.jpg</c>.</summary>
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
