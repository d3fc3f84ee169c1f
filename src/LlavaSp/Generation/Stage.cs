namespace LlavaSp.Generation;

/// <summary>Stages of an answer, in order.</summary>
public enum Stage
{
    /// <summary>Picture bytes to tiles.</summary>
    Preprocess,

    /// <summary>Vision tower.</summary>
    Vision,

    /// <summary>Spatial tokens: SFE, DFI, conv_linear.</summary>
    SpatialTokens,

    /// <summary>Projector and the order of the features.</summary>
    Projector,

    /// <summary>The prompt through the decoder, to the first logits.</summary>
    Prefill,

    /// <summary>One token after the other.</summary>
    Decode,
}

/// <summary>
/// Milliseconds spent in each stage: on the host for the preprocessing, else by the clock of the device that computes (<see cref="Backends.IWorkClock"/>).
/// </summary>
public sealed class StageTimes
{
    private readonly double[] _milliseconds = new double[Enum.GetValues<Stage>().Length];

    /// <summary>Milliseconds of one stage.</summary>
    public double this[Stage stage] => _milliseconds[(int)stage];

    /// <summary>Sum over all stages.</summary>
    public double Total => _milliseconds.Sum();

    /// <summary>Adds to a stage.</summary>
    public void Add(Stage stage, double milliseconds) => _milliseconds[(int)stage] += milliseconds;
}
