namespace LlavaSp.Imaging;

/// <summary>
/// Fixed-point weights of Pillow's bicubic filter (a = -0.5, widened for anti-aliasing when it shrinks) along one axis, for a run of outputs.
/// </summary>
internal sealed class BicubicFilter
{
    /// <summary>Fractional bits of a weight: 32 less 8 of the pixel and 2 for overshoot.</summary>
    public const int PrecisionBits = 32 - 8 - 2;

    private const double Support = 2;

    private readonly int[] _starts;
    private readonly int[] _counts;
    private readonly int[] _weights;

    /// <summary>Weights of outputs first to first + outputs - 1 of an axis resized from inputSize to outputSize.</summary>
    public BicubicFilter(int inputSize, int outputSize, int first, int outputs)
    {
        double scale = (double)inputSize / outputSize;
        double filterScale = Math.Max(scale, 1);
        double support = Support * filterScale;
        double inverse = 1 / filterScale;
        Outputs = outputs;
        Taps = Math.Min(((int)Math.Ceiling(support) * 2) + 1, inputSize);
        _starts = new int[outputs];
        _counts = new int[outputs];
        _weights = new int[checked(outputs * Taps)];

        var exact = new double[Taps];
        for (int i = 0; i < outputs; i++)
        {
            double center = (first + i + 0.5) * scale;
            int start = Math.Max((int)(center - support + 0.5), 0);
            int count = Math.Min((int)(center + support + 0.5), inputSize) - start;
            double sum = 0;
            for (int k = 0; k < count; k++)
                sum += exact[k] = Bicubic((k + start - center + 0.5) * inverse);
            for (int k = 0; k < count; k++)
                _weights[(i * Taps) + k] = ToFixedPoint(sum == 0 ? exact[k] : exact[k] / sum);
            _starts[i] = start;
            _counts[i] = count;
        }
    }

    /// <summary>Number of outputs.</summary>
    public int Outputs { get; }

    /// <summary>Most weights that an output has.</summary>
    public int Taps { get; }

    /// <summary>First input of all.</summary>
    public int FirstInput => _starts[0];

    /// <summary>One past the last input of all.</summary>
    public int LastInput => _starts[^1] + _counts[^1];

    /// <summary>First input of output <paramref name="index"/>.</summary>
    public int Start(int index) => _starts[index];

    /// <summary>Weights of the inputs of output <paramref name="index"/>, at least one.</summary>
    public ReadOnlySpan<int> Weights(int index) => _weights.AsSpan(index * Taps, _counts[index]);

    /// <summary>The run of outputs to which inputs first to last - 1 contribute.</summary>
    public (int First, int Last) OutputsOf(int first, int last)
    {
        int from = 0, to = Outputs;
        while (from < to && _starts[from] + _counts[from] <= first)
            from++;
        while (to > from && _starts[to - 1] >= last)
            to--;
        return (from, to);
    }

    private static int ToFixedPoint(double weight) =>
        (int)((weight < 0 ? -0.5 : 0.5) + (weight * (1 << PrecisionBits)));

    private static double Bicubic(double x)
    {
        const double a = -0.5;
        x = Math.Abs(x);
        if (x < 1)
            return ((((a + 2) * x) - (a + 3)) * x * x) + 1;
        return x < 2 ? ((((x - 5) * x) + 8) * x - 4) * a : 0;
    }
}
