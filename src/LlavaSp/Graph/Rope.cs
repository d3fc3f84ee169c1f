using LlavaSp.Backends;
using LlavaSp.Checkpoints;

namespace LlavaSp.Graph;

/// <summary>
/// Rotary tables as transformers 4.37 computes them (modeling_llama.py): frequencies, angles, cosines and sines in float32.
/// </summary>
internal sealed class Rope : IDisposable
{
    private readonly DecoderConfig _config;
    private readonly int _capacity;
    private int _length;

    /// <summary>Tables for <paramref name="capacity"/> positions.</summary>
    public Rope(IBackend backend, DecoderConfig config, int capacity)
    {
        _config = config;
        _capacity = capacity;
        Table = new RopeTable(backend.CreateTensor(capacity, config.HeadDim / 2), backend.CreateTensor(capacity, config.HeadDim / 2));
        Fill(config.RopeTheta);
    }

    /// <summary>Cosines and sines by position.</summary>
    public RopeTable Table { get; }

    /// <summary>Whether keys that are in the cache were rotated with another base than keys to come: such a cache cannot be taken up again.</summary>
    public bool DependsOnLength => _config.RopeScaling == RopeScalingKind.Dynamic && _length > _config.MaxPositions;

    /// <summary>
    /// Says that the sequence now has <paramref name="length"/> positions. Dynamic scaling takes a larger base from then on; it never goes back.
    /// </summary>
    public void Extend(int length)
    {
        if (length <= _length) return;
        _length = length;
        if (!DependsOnLength) return;
        int dim = _config.HeadDim;
        double stretch = _config.RopeFactor * length / _config.MaxPositions - (_config.RopeFactor - 1);
        Fill(_config.RopeTheta * Math.Pow(stretch, dim / (dim - 2.0)));
    }

    /// <summary>Starts a new sequence.</summary>
    public void Reset()
    {
        if (DependsOnLength) Fill(_config.RopeTheta);
        _length = 0;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Table.Cos.Dispose();
        Table.Sin.Dispose();
    }

    private void Fill(double theta)
    {
        int half = _config.HeadDim / 2;
        var cos = new float[_capacity * half];
        var sin = new float[_capacity * half];
        for (int i = 0; i < half; i++)
        {
            float frequency = 1 / (float)Math.Pow(theta, 2f * i / _config.HeadDim);
            for (int p = 0; p < _capacity; p++)
            {
                float position = _config.RopeScaling == RopeScalingKind.Linear ? p / (float)_config.RopeFactor : p;
                float angle = position * frequency;
                cos[p * half + i] = MathF.Cos(angle);
                sin[p * half + i] = MathF.Sin(angle);
            }
        }

        Table.Cos.Write(cos);
        Table.Sin.Write(sin);
    }
}
