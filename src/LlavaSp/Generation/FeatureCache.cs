using LlavaSp.Backends;
using LlavaSp.Graph;
using LlavaSp.Imaging;

namespace LlavaSp.Generation;

/// <summary>Features of the last few pictures, by content: a picture that appears again is not encoded again.</summary>
internal sealed class FeatureCache(ImageEncoder encoder, int capacity) : IDisposable
{
    private readonly LinkedList<(string Hash, Tensor Features)> _recent = [];

    /// <summary>Features [length, hidden], owned by the cache and valid until as many other pictures were asked for as the cache keeps.</summary>
    public Tensor Get(PreparedImage image, StageTimes times, ITraceSink? trace = null)
    {
        for (LinkedListNode<(string Hash, Tensor Features)>? node = _recent.First; node is not null && trace is null; node = node.Next)
        {
            if (node.Value.Hash != image.ContentHash) continue;
            _recent.Remove(node);
            _recent.AddFirst(node);
            return node.Value.Features;
        }

        Tensor features = encoder.Encode(image, times, trace);
        _recent.AddFirst((image.ContentHash, features));
        if (_recent.Count > capacity)
        {
            _recent.Last!.Value.Features.Dispose();
            _recent.RemoveLast();
        }

        return features;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach ((_, Tensor features) in _recent) features.Dispose();
        _recent.Clear();
    }
}
