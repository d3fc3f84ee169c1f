namespace LlavaSp.Evaluation.Worlds;

/// <summary>A number with the interval in which it lies in 95 of 100 samples of scenes.</summary>
/// <param name="Value">As measured.</param>
/// <param name="Low">Lower end.</param>
/// <param name="High">Upper end.</param>
public readonly record struct Interval(double Value, double Low, double High)
{
    /// <summary>Whether all of it is above a number.</summary>
    public bool IsAbove(double value) => Low > value;

    /// <summary>Whether all of it is below a number.</summary>
    public bool IsBelow(double value) => High < value;
}
