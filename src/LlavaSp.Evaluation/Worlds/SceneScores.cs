using LlavaSp.Worlds.Questions;

namespace LlavaSp.Evaluation.Worlds;

/// <summary>Right answers by scene and family: what accuracies, and their intervals over scenes, are computed from. Accuracies are shares from 0 to 1.</summary>
public sealed class SceneScores
{
    private static readonly QuestionFamily[] Every = Enum.GetValues<QuestionFamily>();

    private readonly int[] _scenes;
    private readonly int[,] _right, _asked;

    private SceneScores(int[] scenes)
    {
        _scenes = scenes;
        _right = new int[scenes.Length, Every.Length];
        _asked = new int[scenes.Length, Every.Length];
    }

    /// <summary>Scenes.</summary>
    public int Scenes => _scenes.Length;

    /// <summary>Questions that count.</summary>
    public int Questions => Every.Sum(QuestionsOf);

    /// <summary>Families that have questions that count.</summary>
    public IReadOnlyList<QuestionFamily> Families => [.. Every.Where(family => QuestionsOf(family) > 0)];

    /// <summary>Counts outcomes.</summary>
    /// <param name="outcomes">Outcomes; a scene is a unit of the intervals even where none of its questions counts.</param>
    /// <param name="counts">Which of them count; null for all.</param>
    public static SceneScores Of(IReadOnlyList<QuestionOutcome> outcomes, Func<QuestionOutcome, bool>? counts = null)
    {
        ArgumentNullException.ThrowIfNull(outcomes);
        int[] scenes = [.. outcomes.Select(outcome => outcome.Scene).Distinct().Order()];
        var scores = new SceneScores(scenes);
        foreach (QuestionOutcome outcome in outcomes)
        {
            if (counts?.Invoke(outcome) == false) continue;
            int scene = Array.BinarySearch(scenes, outcome.Scene);
            scores._asked[scene, (int)outcome.Family]++;
            if (outcome.Right) scores._right[scene, (int)outcome.Family]++;
        }

        return scores;
    }

    /// <summary>Questions of a family that count.</summary>
    public int QuestionsOf(QuestionFamily family) => Enumerable.Range(0, Scenes).Sum(scene => _asked[scene, (int)family]);

    /// <summary>Accuracy of one family.</summary>
    public Interval Family(QuestionFamily family) => Bootstrap.Estimate(Scenes, sample => Accuracy(sample, [family]));

    /// <summary>Mean of the families' accuracies, each family counting alike.</summary>
    public Interval Mean() => Mean(Families);

    /// <summary>Mean of some families' accuracies.</summary>
    public Interval Mean(IReadOnlyList<QuestionFamily> families) => Bootstrap.Estimate(Scenes, sample => MeanOf(sample, families));

    /// <summary>Share of right answers, each question counting alike.</summary>
    public Interval AllQuestions() => Bootstrap.Estimate(Scenes, sample => Accuracy(sample, Every));

    /// <summary>This mean less another's, of the families that both have, over the same samples of the same scenes.</summary>
    /// <exception cref="ArgumentException">The other one is about other scenes.</exception>
    public Interval MeanLess(SceneScores other)
    {
        RequireSameScenes(other);
        QuestionFamily[] families = [.. Families.Intersect(other.Families)];
        return Bootstrap.Estimate(Scenes, sample => MeanOf(sample, families) - other.MeanOf(sample, families));
    }

    /// <summary>As above, of one family.</summary>
    /// <exception cref="ArgumentException">The other one is about other scenes.</exception>
    public Interval FamilyLess(SceneScores other, QuestionFamily family)
    {
        RequireSameScenes(other);
        return Bootstrap.Estimate(Scenes, sample => Accuracy(sample, [family]) - other.Accuracy(sample, [family]));
    }

    private void RequireSameScenes(SceneScores other)
    {
        ArgumentNullException.ThrowIfNull(other);
        if (!_scenes.AsSpan().SequenceEqual(other._scenes)) throw new ArgumentException("runs on different scenes cannot be paired", nameof(other));
    }

    private double MeanOf(ReadOnlySpan<int> sample, IReadOnlyList<QuestionFamily> families)
    {
        double sum = 0;
        foreach (QuestionFamily family in families) sum += Accuracy(sample, [family]);
        return sum / families.Count;
    }

    private double Accuracy(ReadOnlySpan<int> sample, ReadOnlySpan<QuestionFamily> families)
    {
        int right = 0, asked = 0;
        foreach (int scene in sample)
        {
            foreach (QuestionFamily family in families)
            {
                right += _right[scene, (int)family];
                asked += _asked[scene, (int)family];
            }
        }

        return asked == 0 ? double.NaN : (double)right / asked;
    }
}
