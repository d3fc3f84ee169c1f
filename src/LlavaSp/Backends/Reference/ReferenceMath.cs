using System.Numerics;

namespace LlavaSp.Backends.Reference;

/// <summary>The functions of the model, float32, one element or one row at a time.</summary>
internal static class ReferenceMath
{
    public static float Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        Vector<float> sums = Vector<float>.Zero;
        int i = 0;
        for (; i <= a.Length - Vector<float>.Count; i += Vector<float>.Count)
            sums += new Vector<float>(a[i..]) * new Vector<float>(b[i..]);
        float sum = Vector.Sum(sums);
        for (; i < a.Length; i++) sum += a[i] * b[i];
        return sum;
    }

    public static float Apply(Activation activation, float x) => activation switch
    {
        Activation.Gelu => Gelu(x),
        Activation.QuickGelu => x / (1 + MathF.Exp(-1.702f * x)),
        _ => x,
    };

    public static float Silu(float x) => x / (1 + MathF.Exp(-x));

    public static float Gelu(float x) => (float)(0.5 * x * (1 + Erf(x / Math.Sqrt(2))));

    /// <summary>Error function: the series of positive terms x e^(-x^2) (2x^2)^n / (1*3*5…), times 2/sqrt(pi).</summary>
    public static double Erf(double x)
    {
        if (double.IsNaN(x)) return x;
        if (Math.Abs(x) > 6) return Math.Sign(x);
        double term = x, sum = x;
        for (int n = 1; Math.Abs(term) > 1e-17 * Math.Abs(sum); n++)
        {
            term *= 2 * x * x / (2 * n + 1);
            sum += term;
        }

        return 2 / Math.Sqrt(Math.PI) * Math.Exp(-x * x) * sum;
    }

    /// <summary>torch.nan_to_num.</summary>
    public static float NanToNum(float x) => float.IsNaN(x) ? 0 : Math.Clamp(x, float.MinValue, float.MaxValue);

    public static void Softmax(Span<float> row)
    {
        float max = float.NegativeInfinity;
        foreach (float x in row) max = MathF.Max(max, x);
        float sum = 0;
        foreach (ref float x in row)
        {
            x = MathF.Exp(x - max);
            sum += x;
        }

        foreach (ref float x in row) x /= sum;
    }

    public static void LayerNorm(Span<float> destination, ReadOnlySpan<float> source, ReadOnlySpan<float> weight, ReadOnlySpan<float> bias, float epsilon)
    {
        double mean = 0;
        foreach (float x in source) mean += x;
        mean /= source.Length;
        double variance = 0;
        foreach (float x in source) variance += (x - mean) * (x - mean);
        var inverse = 1 / Math.Sqrt(variance / source.Length + epsilon);
        for (int i = 0; i < source.Length; i++) destination[i] = (float)((source[i] - mean) * inverse) * weight[i] + bias[i];
    }

    public static void RmsNorm(Span<float> destination, ReadOnlySpan<float> source, ReadOnlySpan<float> weight, float epsilon)
    {
        double squares = 0;
        foreach (float x in source) squares += (double)x * x;
        var inverse = (float)(1 / Math.Sqrt(squares / source.Length + epsilon));
        for (int i = 0; i < source.Length; i++) destination[i] = source[i] * inverse * weight[i];
    }
}
