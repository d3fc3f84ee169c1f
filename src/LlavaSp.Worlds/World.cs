using LlavaSp.Worlds.Questions;
using LlavaSp.Worlds.Scenes;

namespace LlavaSp.Worlds;

/// <summary>Scenes and their questions by split and index. The same index gives the same scene, on every machine.</summary>
public static class World
{
    private const ulong SceneStream = 0x5CE7E, QuestionStream = 0x0A5C;

    /// <summary>A scene.</summary>
    public static Scene Scene(Split split, int index) => SceneMaker.Make(Random(split, index, SceneStream), split == Split.Test);

    /// <summary>Its questions; several passes over a split may take another round each time.</summary>
    /// <param name="split">The split.</param>
    /// <param name="index">Place in it.</param>
    /// <param name="round">Which pass.</param>
    /// <param name="scene">The scene, where it was made before.</param>
    public static IReadOnlyList<Question> Questions(Split split, int index, int round = 0, Scene? scene = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(round);
        return QuestionMaker.Questions(scene ?? Scene(split, index), Random(split, index, QuestionStream + ((ulong)round << 20)), split == Split.Test);
    }

    // The split is part of the stream: PCG's streams are different sequences, so that no split can share a scene's seed with another.
    private static WorldRandom Random(Split split, int index, ulong stream)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        return new WorldRandom((ulong)index * 0x9E3779B97F4A7C15UL, (stream << 2) | (ulong)split);
    }
}
