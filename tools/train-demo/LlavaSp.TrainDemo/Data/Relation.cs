using LlavaSp.Worlds.Scenes;

namespace LlavaSp.TrainDemo.Data;

/// <summary>One thing that a noun's position is asked for about what was named before: 0 or 1.</summary>
internal enum RelationTask
{
    /// <summary>1 where the object before is further left.</summary>
    X,

    /// <summary>1 where it is further up.</summary>
    Y,

    /// <summary>1 where it is bigger.</summary>
    Size,

    /// <summary>1 where there are more of those before.</summary>
    Count,
}

/// <summary>What objects are to those named before.</summary>
internal static class Relation
{
    // Nearer ones are too close to call.
    private const float Apart = 0.05f;

    /// <summary>Labels for each task; what is neither is ignored, and all but the number where one of the two is not a single object.</summary>
    /// <param name="before">The objects that were named before; null where none was.</param>
    /// <param name="named">The objects.</param>
    public static Label[] Of(SceneObject[]? before, SceneObject[] named)
    {
        var labels = new Label[Enum.GetValues<RelationTask>().Length];
        Array.Fill(labels, Label.None);
        if (before is null) return labels;
        if (before.Length != named.Length) labels[(int)RelationTask.Count] = before.Length > named.Length ? 1 : 0;
        if (before.Length != 1 || named.Length != 1 || ReferenceEquals(before[0], named[0])) return labels;
        SceneObject first = before[0], second = named[0];
        if (Math.Abs(first.X - second.X) >= Apart) labels[(int)RelationTask.X] = first.X < second.X ? 1 : 0;
        if (Math.Abs(first.Y - second.Y) >= Apart) labels[(int)RelationTask.Y] = first.Y < second.Y ? 1 : 0;
        if (first.Size != second.Size) labels[(int)RelationTask.Size] = first.Size == Size.Large ? 1 : 0;
        return labels;
    }
}
