namespace LlavaSp.Explanation;

/// <summary>What some positions attend to, averaged over the heads.</summary>
/// <param name="layers">Decoder layers.</param>
/// <param name="rows">Positions that attend.</param>
/// <param name="positions">Positions that may be attended to.</param>
public sealed class AttentionMap(int layers, int rows, int positions)
{
    private readonly float[] _shares = new float[checked(layers * rows * positions)];

    /// <summary>Decoder layers.</summary>
    public int Layers => layers;

    /// <summary>Positions that attend.</summary>
    public int Rows => rows;

    /// <summary>Positions that may be attended to.</summary>
    public int Positions => positions;

    /// <summary>Shares [positions] of one row in one layer; their sum is 1.</summary>
    public ReadOnlySpan<float> Of(int layer, int row) => Row(layer, row);

    /// <summary>Shares [positions] of one row, averaged over all layers.</summary>
    public float[] Mean(int row)
    {
        var mean = new float[positions];
        for (int layer = 0; layer < layers; layer++)
        {
            ReadOnlySpan<float> shares = Of(layer, row);
            for (int i = 0; i < positions; i++) mean[i] += shares[i] / layers;
        }

        return mean;
    }

    internal Span<float> Row(int layer, int row) => _shares.AsSpan(((layer * rows) + row) * positions, positions);
}
