using System.Runtime.InteropServices;
using LlavaSp.Checkpoints;

namespace LlavaSp.Tests;

/// <summary>Comparison of tensors from two files; a NaN on one side only, and any other difference above the bound, is a mismatch.</summary>
internal static class TensorComparison
{
    public static float[] Floats(ITensorSource source, string name)
    {
        Assert.Equal(DType.F32, source.Tensors[name].DType);
        return MemoryMarshal.Cast<byte, float>(source.GetBytes(name)).ToArray();
    }

    public static int[] Ids(ITensorSource source, string name)
    {
        Assert.Equal(DType.I64, source.Tensors[name].DType);
        return [.. MemoryMarshal.Cast<byte, long>(source.GetBytes(name)).ToArray().Select(id => (int)id)];
    }

    /// <summary>Largest absolute difference; infinity when one side is NaN and the other is not.</summary>
    public static float Difference(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        float worst = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            float difference = float.IsNaN(expected[i]) && float.IsNaN(actual[i]) ? 0 : MathF.Abs(expected[i] - actual[i]);
            if (float.IsNaN(difference)) return float.PositiveInfinity;
            worst = MathF.Max(worst, difference);
        }

        return worst;
    }

    /// <summary>Rows of a row-major matrix.</summary>
    public static float[] Rows(float[] matrix, int columns, IEnumerable<int> rows) =>
        [.. rows.SelectMany(row => matrix.Skip(row * columns).Take(columns))];
}
