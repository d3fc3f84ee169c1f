using LlavaSp.Worlds.Scenes;

namespace LlavaSp.TrainDemo.Data;

/// <summary>One thing that a noun's position is asked for about the object that was named before: 0 or 1.</summary>
internal enum RelationTask
{
    /// <summary>1 where the object before is further left.</summary>
    X,

    /// <summary>1 where it is further up.</summary>
    Y,

    /// <summary>1 where it is bigger.</summary>
    Size,
}

/// <summary>What two objects are to each other.</summary>
internal static class Relation
{
    // Nearer ones are too close to call.
    private const float Apart = 0.05f;

    /// <summary>Labels for each task, all ignored where one of them is not there.</summary>
    /// <param name="before">The object that was named before.</param>
    /// <param name="item">The object.</param>
    public static long[] Of(SceneObject? before, SceneObject? item)
    {
        long[] labels = [PatchLabels.Ignored, PatchLabels.Ignored, PatchLabels.Ignored];
        if (before is null || item is null || ReferenceEquals(before, item)) return labels;
        if (Math.Abs(before.X - item.X) >= Apart) labels[(int)RelationTask.X] = before.X < item.X ? 1 : 0;
        if (Math.Abs(before.Y - item.Y) >= Apart) labels[(int)RelationTask.Y] = before.Y < item.Y ? 1 : 0;
        if (before.Size != item.Size) labels[(int)RelationTask.Size] = before.Size == Size.Large ? 1 : 0;
        return labels;
    }
}
