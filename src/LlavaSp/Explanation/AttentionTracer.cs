using LlavaSp.Backends;
using LlavaSp.Backends.Reference;
using LlavaSp.Checkpoints;

namespace LlavaSp.Explanation;

/// <summary>
/// Computes what the last rows of a prefill attend to, from each layer's queries and keys as the backend left them: the fused attention of a backend
/// never holds the shares. The same on every backend, and no cost where nobody asks.
/// </summary>
internal sealed class AttentionTracer : ITraceSink
{
    private readonly DecoderConfig _config;
    private readonly Func<RopeTable> _rope;
    private readonly string[] _names;
    private readonly int _rows;
    private float[]? _cos, _sin;

    /// <summary>A tracer of the last <paramref name="rows"/> of <paramref name="positions"/> positions.</summary>
    /// <param name="config">The decoder.</param>
    /// <param name="positions">Length of the sequence, computed as a whole.</param>
    /// <param name="rows">Rows that are asked for.</param>
    /// <param name="rope">Gives the rotary tables as they are while the layers run.</param>
    public AttentionTracer(DecoderConfig config, int positions, int rows, Func<RopeTable> rope)
    {
        _config = config;
        _rows = rows;
        _rope = rope;
        _names = [.. Enumerable.Range(0, config.Layers).Select(TraceNames.Qkv)];
        Map = new AttentionMap(config.Layers, rows, positions);
    }

    /// <summary>The shares.</summary>
    public AttentionMap Map { get; }

    /// <inheritdoc/>
    public bool Wants(string name) => Array.IndexOf(_names, name) >= 0;

    /// <inheritdoc/>
    public void Add(string name, ReadOnlySpan<float> values, params ReadOnlySpan<long> shape)
    {
        int layer = Array.IndexOf(_names, name), positions = Map.Positions;
        _cos ??= _rope().Cos.ToArray();
        _sin ??= _rope().Sin.ToArray();
        int width = _config.HeadDim, columns = (_config.Heads + (2 * _config.KvHeads)) * width, share = _config.Heads / _config.KvHeads;
        var keys = new float[positions * width];
        var query = new float[width];
        var shares = new float[positions];
        for (int kvHead = 0; kvHead < _config.KvHeads; kvHead++)
        {
            for (int position = 0; position < positions; position++)
                Rotate(values.Slice((position * columns) + ((_config.Heads + kvHead) * width), width), position, keys.AsSpan(position * width, width));
            for (int head = kvHead * share; head < (kvHead + 1) * share; head++)
            {
                for (int row = 0; row < _rows; row++)
                {
                    int position = positions - _rows + row;
                    Rotate(values.Slice((position * columns) + (head * width), width), position, query);
                    Span<float> seen = shares.AsSpan(0, position + 1);
                    for (int i = 0; i < seen.Length; i++)
                        seen[i] = ReferenceMath.Dot(query, keys.AsSpan(i * width, width)) / MathF.Sqrt(width);
                    ReferenceMath.Softmax(seen);
                    Span<float> sum = Map.Row(layer, row);
                    for (int i = 0; i < seen.Length; i++) sum[i] += seen[i] / _config.Heads;
                }
            }
        }
    }

    // Half-split, as the backends do it.
    private void Rotate(ReadOnlySpan<float> head, int position, Span<float> rotated)
    {
        int half = head.Length / 2;
        ReadOnlySpan<float> cos = _cos.AsSpan(position * half, half), sin = _sin.AsSpan(position * half, half);
        for (int i = 0; i < half; i++)
        {
            rotated[i] = (head[i] * cos[i]) - (head[half + i] * sin[i]);
            rotated[half + i] = (head[half + i] * cos[i]) + (head[i] * sin[i]);
        }
    }
}
