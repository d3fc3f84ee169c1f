using LlavaSp.Backends;
using LlavaSp.Checkpoints;

namespace LlavaSp.Graph;

/// <summary>
/// Rotary tables as transformers 4.37 computes them (modeling_llama.py, LlamaRotaryEmbedding and its two scalings): base, frequencies, angles,
/// cosines and sines in float32.
/// </summary>
internal sealed class Rope : IDisposable
{
    private readonly DecoderConfig _config;
    private readonly int _capacity;
    private readonly float[] _frequencies;
    private readonly float[] _cosRow;
    private readonly float[] _sinRow;

    /// <summary>Rows beyond the trained length, each as a view of its own made beforehand, so that a decode step need not make one.</summary>
    private readonly (Tensor Cos, Tensor Sin)[] _stretchedRows;
    private int _length;

    /// <summary>Tables for <paramref name="capacity"/> positions.</summary>
    public Rope(IBackend backend, DecoderConfig config, int capacity)
    {
        _config = config;
        _capacity = capacity;
        int half = config.HeadDim / 2;
        _frequencies = new float[half];
        _cosRow = new float[half];
        _sinRow = new float[half];
        Table = new RopeTable(backend.CreateTensor(capacity, half), backend.CreateTensor(capacity, half));
        int stretched = config.RopeScaling == RopeScalingKind.Dynamic ? Math.Max(0, capacity - config.MaxPositions) : 0;
        _stretchedRows = new (Tensor, Tensor)[stretched];
        for (int i = 0; i < stretched; i++)
            _stretchedRows[i] = (Table.Cos.Slice(config.MaxPositions + i, 1), Table.Sin.Slice(config.MaxPositions + i, 1));
        Fill(config.RopeTheta, 0, capacity);
    }

    /// <summary>Cosines and sines by position.</summary>
    public RopeTable Table { get; }

    /// <summary>
    /// Whether keys that are in the cache are those that a sequence of <paramref name="length"/> positions would have from its first one: under dynamic
    /// scaling, neither the sequence so far nor the next one may pass the trained length.
    /// </summary>
    public bool KeysStay(int length) => _config.RopeScaling != RopeScalingKind.Dynamic || Math.Max(_length, length) <= _config.MaxPositions;

    /// <summary>
    /// Makes ready the rows of positions <paramref name="first"/> to <paramref name="length"/> - 1, which are computed next. Under dynamic scaling
    /// beyond the trained length they take the base that belongs to <paramref name="length"/>; positions before them keep their keys, as in transformers.
    /// </summary>
    public void Extend(int first, int length)
    {
        _length = Math.Max(_length, length);
        if (_config.RopeScaling != RopeScalingKind.Dynamic || length <= _config.MaxPositions) return;
        int dim = _config.HeadDim;
        double stretch = _config.RopeFactor * length / _config.MaxPositions - (_config.RopeFactor - 1);
        double theta = _config.RopeTheta * Math.Pow(stretch, dim / (dim - 2.0));
        if (first < length - 1)
        {
            Fill(theta, first, length - first);
            return;
        }

        SetFrequencies(theta);
        FillRow(first, _cosRow, _sinRow);
        (Tensor cos, Tensor sin) = _stretchedRows[first - _config.MaxPositions];
        cos.Write(_cosRow);
        sin.Write(_sinRow);
    }

    /// <summary>Starts a new sequence.</summary>
    public void Reset()
    {
        if (!KeysStay(0)) Fill(_config.RopeTheta, 0, Math.Min(_length, _capacity));
        _length = 0;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Table.Cos.Dispose();
        Table.Sin.Dispose();
    }

    private void Fill(double theta, int first, int count)
    {
        SetFrequencies(theta);
        int half = _frequencies.Length;
        var cos = new float[count * half];
        var sin = new float[count * half];
        for (int i = 0; i < count; i++) FillRow(first + i, cos.AsSpan(i * half, half), sin.AsSpan(i * half, half));
        Table.Cos.Slice(first, count).Write(cos);
        Table.Sin.Slice(first, count).Write(sin);
    }

    private void SetFrequencies(double theta)
    {
        for (int i = 0; i < _frequencies.Length; i++) _frequencies[i] = 1 / (float)Math.Pow((float)theta, 2f * i / _config.HeadDim);
    }

    private void FillRow(int row, Span<float> cos, Span<float> sin)
    {
        float position = _config.RopeScaling == RopeScalingKind.Linear ? row / (float)_config.RopeFactor : row;
        for (int i = 0; i < _frequencies.Length; i++)
        {
            float angle = position * _frequencies[i];
            cos[i] = MathF.Cos(angle);
            sin[i] = MathF.Sin(angle);
        }
    }
}
