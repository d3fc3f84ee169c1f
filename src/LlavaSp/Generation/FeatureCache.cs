using LlavaSp.Backends;
using LlavaSp.Graph;
using LlavaSp.Imaging;

namespace LlavaSp.Generation;

/// <summary>Features of the last few pictures, by content: a picture that appears again is not encoded again.</summary>
internal sealed class FeatureCache(ImageEncoder encoder, int capacity) : IDisposable
{
    private readonly LinkedList<(string Hash, Tensor Features)> _recent = [];

    /// <summary>Features [length, hidden], owned by the cache and valid until as many other pictures were asked for as the cache keeps.</summary>
    public Tensor Get(PreparedImage image, StageTimer timer, ITraceSink? trace = null)
    {
        LinkedListNode<(string Hash, Tensor Features)>? known = _recent.First;
        while (known is not null && known.Value.Hash != image.ContentHash) known = known.Next;
        if (known is not null) _recent.Remove(known);
        if (known is not null && trace is null)
        {
            _recent.AddFirst(known);
            return known.Value.Features;
        }

        // A trace wants to see the picture being encoded.
        known?.Value.Features.Dispose();
        Tensor features = encoder.Encode(image, timer, trace);
        _recent.AddFirst((image.ContentHash, features));
        if (_recent.Count > capacity)
        {
            _recent.Last!.Value.Features.Dispose();
            _recent.RemoveLast();
        }

        return features;
    }

    /// <summary>Releases all features.</summary>
    public void Clear()
    {
        foreach ((_, Tensor features) in _recent) features.Dispose();
        _recent.Clear();
    }

    /// <inheritdoc/>
    public void Dispose() => Clear();
}
