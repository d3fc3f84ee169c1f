using LlavaSp.Worlds.Scenes;

namespace LlavaSp.TrainDemo.Data;

/// <summary>One thing around an object that its patches and the nouns that name it are asked for.</summary>
internal enum SurroundingTask
{
    /// <summary>How many objects lie further left.</summary>
    FromLeft,

    /// <summary>How many lie further right.</summary>
    FromRight,

    /// <summary>Colour of the next one to the right, plus one; 0 where there is none.</summary>
    NextColour,

    /// <summary>Its shape, likewise.</summary>
    NextShape,

    /// <summary>Colour of the nearest.</summary>
    NearColour,

    /// <summary>Its shape.</summary>
    NearShape,

    /// <summary>How many others have its colour.</summary>
    SameColour,

    /// <summary>How many others have its shape.</summary>
    SameShape,
}

/// <summary>
/// What is around an object. Both patches and nouns are asked for it: a vision tower sees all objects at once, and a decoder of a few layers has none to
/// spare for the search.
/// </summary>
internal static class Surroundings
{
    private const int MostOthers = 5;

    // Nearer ones are too close to call.
    private const float Apart = 0.02f, NearestRatio = 1.1f;

    /// <summary>Classes of a task.</summary>
    public static int Classes(SurroundingTask task) => task switch
    {
        SurroundingTask.NextColour or SurroundingTask.NextShape => Combinations.Side + 1,
        SurroundingTask.NearColour or SurroundingTask.NearShape => Combinations.Side,
        _ => MostOthers + 1,
    };

    /// <summary>Labels for each task, of which what is close to call is ignored; all are where there is no object.</summary>
    /// <param name="item">The object; null for none.</param>
    /// <param name="scene">The scene.</param>
    /// <param name="colours">The picture's colours.</param>
    public static Label[] Of(SceneObject? item, Scene scene, PictureColours colours)
    {
        var labels = new Label[Enum.GetValues<SurroundingTask>().Length];
        Array.Fill(labels, Label.None);
        if (item is null) return labels;
        SceneObject[] others = [.. scene.Objects.Where(other => !ReferenceEquals(other, item))];
        if (colours.AreSaid) labels[(int)SurroundingTask.SameColour] = others.Count(other => other.Colour == item.Colour);
        labels[(int)SurroundingTask.SameShape] = others.Count(other => other.Shape == item.Shape);
        SetOrder(labels, item, others, colours);
        SetNearest(labels, item, others, colours);
        return labels;
    }

    private static void SetOrder(Label[] labels, SceneObject item, SceneObject[] others, PictureColours colours)
    {
        if (Array.Exists(others, other => Math.Abs(other.X - item.X) < Apart)) return;
        SceneObject[] right = [.. others.Where(other => other.X > item.X).OrderBy(other => other.X)];
        labels[(int)SurroundingTask.FromLeft] = others.Length - right.Length;
        labels[(int)SurroundingTask.FromRight] = right.Length;
        if (right.Length > 1 && right[1].X - right[0].X < Apart) return;
        labels[(int)SurroundingTask.NextColour] = right.Length > 0 ? colours.ColourOf(right[0], 1) : colours.AreSaid ? 0 : Label.None;
        labels[(int)SurroundingTask.NextShape] = right.Length > 0 ? colours.ShapeOf(right[0], 1) : 0;
    }

    private static void SetNearest(Label[] labels, SceneObject item, SceneObject[] others, PictureColours colours)
    {
        SceneObject[] near = [.. others.OrderBy(Distance)];
        if (near.Length == 0 || (near.Length > 1 && Distance(near[1]) < NearestRatio * Distance(near[0]))) return;
        labels[(int)SurroundingTask.NearColour] = colours.ColourOf(near[0]);
        labels[(int)SurroundingTask.NearShape] = colours.ShapeOf(near[0]);

        float Distance(SceneObject other) => MathF.Sqrt(((other.X - item.X) * (other.X - item.X)) + ((other.Y - item.Y) * (other.Y - item.Y)));
    }
}
