using System.Diagnostics;
using LlavaSp.Imaging;

namespace LlavaSp.Cli.Running;

/// <summary>Pictures on their way into a prompt, and the time that took.</summary>
internal sealed class Pictures
{
    private readonly List<RgbImage> _decoded = [];

    /// <summary>Milliseconds of decoding, resizing, padding and tiling.</summary>
    public double Milliseconds { get; private set; }

    /// <summary>Pictures so far.</summary>
    public int Count => _decoded.Count;

    /// <summary>The pictures as they were decoded.</summary>
    public IReadOnlyList<RgbImage> Decoded => _decoded;

    /// <summary>Decodes a file. Before the model is loaded, so that a wrong path is told at once.</summary>
    /// <exception cref="ImageException">It is not a picture that can be used.</exception>
    public void Decode(string path, bool exif) => Add(() => ImageDecoder.Decode(path, applyExifOrientation: exif));

    /// <summary>Decodes the bytes of a file.</summary>
    public void Decode(byte[] bytes) => Add(() => ImageDecoder.Decode(bytes));

    /// <summary>All pictures as the model takes them.</summary>
    public PreparedImage[] Prepare(LlavaSpModel model)
    {
        long start = Stopwatch.GetTimestamp();
        PreparedImage[] prepared = [.. _decoded.Select(model.Prepare)];
        Milliseconds += Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        return prepared;
    }

    private void Add(Func<RgbImage> decode)
    {
        long start = Stopwatch.GetTimestamp();
        _decoded.Add(decode());
        Milliseconds += Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }
}
