namespace LlavaSp.TrainDemo.Data;

/// <summary>The right answer to a task.</summary>
/// <param name="Class">Its class; <see cref="Ignored"/> where there is none.</param>
/// <param name="Never">A bit for each class that training never shows there: it is left out of the choice, so that nothing is learned from its absence.</param>
internal readonly record struct Label(long Class, long Never = 0)
{
    /// <summary>Class of what is not asked.</summary>
    public const long Ignored = -100;

    /// <summary>No right answer.</summary>
    public static Label None { get; } = new(Ignored);

    public static implicit operator Label(long right) => new(right);
}
