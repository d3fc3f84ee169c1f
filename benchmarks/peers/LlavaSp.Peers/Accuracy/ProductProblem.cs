using LlavaSp.Backends;

namespace LlavaSp.Peers.Accuracy;

/// <summary>A product of the decoder's size whose exact result is known: what a format does to it is an error that can be compared between libraries.</summary>
internal sealed class ProductProblem
{
    /// <summary>Rows of activations, and the weight's columns and rows.</summary>
    public const int Rows = 64, Inputs = 4096, Outputs = 4096;

    private const int OutlierChannels = 4;
    private const float WeightDeviation = 0.02f, Outlier = 60, WeightOfOutliers = 1f / 3;

    private readonly float[] _exact;

    /// <summary>Normal weights and activations.</summary>
    /// <param name="outliers">Whether four channels of the activations are sixty times the others, as in CLIP and Llama; the weights that read them are a third of the others.</param>
    public ProductProblem(bool outliers)
    {
        Weight = Normal(1, Outputs * Inputs, WeightDeviation);
        Activations = Normal(2, Rows * Inputs, 1);
        for (int channel = 0; outliers && channel < OutlierChannels; channel++)
        {
            int column = Inputs / OutlierChannels * channel + 100 * channel + 7;
            for (int row = 0; row < Rows; row++) Activations[row * Inputs + column] *= Outlier;
            for (int row = 0; row < Outputs; row++) Weight[row * Inputs + column] *= WeightOfOutliers;
        }

        _exact = new float[Rows * Outputs];
        Parallel.For(0, Outputs, n =>
        {
            for (int m = 0; m < Rows; m++)
            {
                double sum = 0;
                for (int k = 0; k < Inputs; k++) sum += (double)Activations[m * Inputs + k] * Weight[n * Inputs + k];
                _exact[m * Outputs + n] = (float)sum;
            }
        });
    }

    /// <summary>[Outputs, Inputs].</summary>
    public float[] Weight { get; }

    /// <summary>[Rows, Inputs].</summary>
    public float[] Activations { get; }

    /// <summary>Norm of the difference over the norm of the exact result [Rows, Outputs].</summary>
    public double Error(ReadOnlySpan<float> result)
    {
        double difference = 0, norm = 0;
        for (int i = 0; i < _exact.Length; i++)
        {
            difference += ((double)result[i] - _exact[i]) * ((double)result[i] - _exact[i]);
            norm += (double)_exact[i] * _exact[i];
        }

        return Math.Sqrt(difference / norm);
    }

    /// <summary>The weight as LlavaSp reads it from a checkpoint.</summary>
    public WeightSource Source() => new Matrix(Weight);

    private static float[] Normal(int seed, int count, float deviation)
    {
        var random = new Random(seed);
        var values = new float[count];
        // Box and Muller.
        for (int i = 0; i < count; i++)
            values[i] = deviation * (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        return values;
    }

    private sealed class Matrix(float[] values) : WeightSource
    {
        public override string Name => "product";

        public override long Rows => Outputs;

        public override long Columns => Inputs;

        public override void ReadRows(long first, int count, Span<float> destination) =>
            values.AsSpan((int)first * Inputs, count * Inputs).CopyTo(destination);
    }
}
