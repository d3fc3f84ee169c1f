using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace LlavaSp.TrainDemo.Model;

/// <summary>Several questions behind one prefix, in one sequence [n, t].</summary>
/// <param name="Prefix">Tokens before the questions: each sees those before it.</param>
/// <param name="Mask">What each token behind them sees, added to its scores: [n, 1, t - prefix, t] of 0 and minus infinity.</param>
/// <param name="Rows">Of which tokens hidden states are wanted: [n, rows], int64, all of them behind the prefix.</param>
internal readonly record struct Packing(long Prefix, Tensor Mask, Tensor Rows)
{
    /// <summary>A token behind the prefix sees the prefix, and of its own question what is before it.</summary>
    /// <param name="prefix">Tokens before the questions.</param>
    /// <param name="segments">Which question each token behind them belongs to, [n, t - prefix].</param>
    /// <param name="rows">Of which tokens hidden states are wanted.</param>
    public static Packing Of(long prefix, Tensor segments, Tensor rows)
    {
        long n = segments.shape[0], behind = segments.shape[1];
        using Scalar hidden = float.NegativeInfinity;
        Tensor own = segments.unsqueeze(2).eq(segments.unsqueeze(1)).logical_and(ones([behind, behind], ScalarType.Bool).tril());
        Tensor ofQuestions = zeros([n, behind, behind]).masked_fill(own.logical_not(), hidden);
        return new Packing(prefix, cat([zeros([n, behind, prefix]), ofQuestions], 2).unsqueeze(1), rows);
    }

    /// <summary>The rows [n, rows, width] of x [n, t, width].</summary>
    public Tensor Take(Tensor x) => Take(x, Rows);

    /// <summary>The packing when only its rows look.</summary>
    public Packing Last()
    {
        using Scalar prefix = Prefix;
        return this with { Prefix = 0, Mask = Take(Mask.squeeze(1), Rows - prefix).unsqueeze(1) };
    }

    private static Tensor Take(Tensor x, Tensor rows)
    {
        long n = x.shape[0], length = x.shape[1];
        using Scalar stride = length;
        Tensor flat = (rows + (arange(n, ScalarType.Int64).unsqueeze(1) * stride)).flatten();
        return x.flatten(0, 1).index_select(0, flat).view(n, rows.shape[1], -1);
    }
}
