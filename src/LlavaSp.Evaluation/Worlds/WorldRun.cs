using LlavaSp.Worlds.Questions;

namespace LlavaSp.Evaluation.Worlds;

/// <summary>One model in one weight format on one device, with its answers.</summary>
public sealed class WorldRun
{
    private readonly Lazy<Interval> _mean, _allQuestions;
    private readonly Lazy<IReadOnlyDictionary<QuestionFamily, Interval>> _families;

    /// <summary>A run whose answers are all there.</summary>
    /// <param name="variant">none, pooling or cropping.</param>
    /// <param name="format">Weight format.</param>
    /// <param name="device">Device, as it was asked for.</param>
    /// <param name="outcomes">Questions in order, with their answers.</param>
    public WorldRun(string variant, string format, string device, IReadOnlyList<QuestionOutcome> outcomes)
    {
        Variant = variant;
        Format = format;
        Device = device;
        Outcomes = outcomes;
        Scores = SceneScores.Of(outcomes);
        _mean = new(Scores.Mean);
        _allQuestions = new(Scores.AllQuestions);
        _families = new(() => Scores.Families.ToDictionary(family => family, Scores.Family));
    }

    /// <summary>none, pooling or cropping.</summary>
    public string Variant { get; }

    /// <summary>Weight format.</summary>
    public string Format { get; }

    /// <summary>Device, as it was asked for.</summary>
    public string Device { get; }

    /// <summary>Questions in order, with their answers.</summary>
    public IReadOnlyList<QuestionOutcome> Outcomes { get; }

    /// <summary>Right answers by scene and family.</summary>
    public SceneScores Scores { get; }

    /// <summary>Mean of the families' accuracies: the headline.</summary>
    public Interval Mean => _mean.Value;

    /// <summary>Share of right answers.</summary>
    public Interval AllQuestions => _allQuestions.Value;

    /// <summary>Accuracy by family.</summary>
    public IReadOnlyDictionary<QuestionFamily, Interval> Families => _families.Value;

    /// <summary>The same run, of its first scenes only.</summary>
    public WorldRun First(int scenes)
    {
        HashSet<int> kept = [.. Outcomes.Select(outcome => outcome.Scene).Distinct().Take(scenes)];
        return new WorldRun(Variant, Format, Device, [.. Outcomes.Where(outcome => kept.Contains(outcome.Scene))]);
    }

    /// <summary>Share of questions that another run answers in the same words.</summary>
    /// <exception cref="ArgumentException">It was asked other questions.</exception>
    public double IdenticalTo(WorldRun other)
    {
        ArgumentNullException.ThrowIfNull(other);
        if (!Outcomes.Select(outcome => (outcome.Scene, outcome.Category)).SequenceEqual(other.Outcomes.Select(outcome => (outcome.Scene, outcome.Category))))
            throw new ArgumentException("runs on different questions cannot be compared", nameof(other));
        return Outcomes.Zip(other.Outcomes).Average(static pair => pair.First.Answer == pair.Second.Answer ? 1.0 : 0);
    }
}
