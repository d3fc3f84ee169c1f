using LlavaSp.Worlds.Scenes;

namespace LlavaSp.TrainDemo.Data;

/// <summary>One thing that a patch is asked for while the vision tower learns.</summary>
internal enum PatchTask
{
    /// <summary>0 for background, else one more than the colour.</summary>
    Colour,

    /// <summary>The shape.</summary>
    Shape,

    /// <summary>Small or large.</summary>
    Size,

    /// <summary>The texture, where one can be seen.</summary>
    Texture,

    /// <summary>0 for none, else what is written on the object, on whichever of its patches.</summary>
    Mark,

    /// <summary>Which digit or letter the patch itself shows a part of.</summary>
    Glyph,

    /// <summary>1 where an object's centre lies in the patch.</summary>
    Centre,

    /// <summary>The column of the object's centre.</summary>
    X,

    /// <summary>The row of the object's centre.</summary>
    Y,

    /// <inheritdoc cref="Surroundings.FromLeft"/>
    FromLeft,

    /// <inheritdoc cref="Surroundings.FromRight"/>
    FromRight,

    /// <inheritdoc cref="Surroundings.NextColour"/>
    NextColour,

    /// <inheritdoc cref="Surroundings.NextShape"/>
    NextShape,

    /// <inheritdoc cref="Surroundings.NearColour"/>
    NearColour,

    /// <inheritdoc cref="Surroundings.NearShape"/>
    NearShape,

    /// <inheritdoc cref="Surroundings.SameColour"/>
    SameColour,

    /// <inheritdoc cref="Surroundings.SameShape"/>
    SameShape,
}

/// <summary>
/// What each patch of a scene shows: the dense labels from which the vision tower learns to see, in place of CLIP's hundreds of millions of captions.
/// </summary>
internal static class PatchLabels
{
    /// <summary>A patch that a task has no right answer for.</summary>
    public const long Ignored = -100;

    // Places along an edge that are told apart.
    private const int Places = 12;

    /// <summary>Every character that can be written on an object.</summary>
    public const string Marks = "0123456789" + SceneMaker.Letters;

    /// <summary>Classes of a task.</summary>
    public static int Classes(PatchTask task) => task switch
    {
        PatchTask.Colour => Combinations.Side + 1,
        PatchTask.Shape or PatchTask.NearColour or PatchTask.NearShape => Combinations.Side,
        PatchTask.Texture => 3,
        PatchTask.Mark or PatchTask.Glyph => Marks.Length + 1,
        PatchTask.X or PatchTask.Y => Places,
        PatchTask.FromLeft or PatchTask.FromRight or PatchTask.SameColour or PatchTask.SameShape => Surroundings.Counts,
        PatchTask.NextColour or PatchTask.NextShape => Surroundings.Kinds,
        _ => 2,
    };

    /// <summary>Labels [tasks, grid * grid].</summary>
    /// <param name="scene">The scene.</param>
    /// <param name="owners">Which object each patch shows.</param>
    /// <param name="coloured">Whether the picture shows the scene's colours; else nothing is asked of them.</param>
    public static long[][] Of(Scene scene, PatchOwners owners, bool coloured)
    {
        int grid = owners.Grid;
        long[][] labels = [.. Enum.GetValues<PatchTask>().Select(_ => new long[owners.Count])];
        Surroundings[] around = [.. scene.Objects.Select(item => Surroundings.Of(item, scene))];
        for (int cell = 0; cell < owners.Count; cell++)
        {
            int owner = owners[cell];
            Set(labels, cell, owner >= 0 ? scene.Objects[owner] : null, owner == PatchOwners.Nobody);
            SetSurroundings(labels, cell, owner >= 0 ? around[owner] : Surroundings.Unknown);
        }

        Array.Fill(labels[(int)PatchTask.Glyph], Ignored);
        foreach (SceneObject item in scene.Objects)
        {
            labels[(int)PatchTask.Centre][((int)(item.Y * grid) * grid) + (int)(item.X * grid)] = 1;
            if (item.Mark is null) continue;
            foreach (int cell in owners.UnderMark(item)) labels[(int)PatchTask.Glyph][cell] = MarkOf(item);
        }

        if (coloured) return labels;
        foreach (PatchTask task in (PatchTask[])[PatchTask.Colour, PatchTask.NextColour, PatchTask.NearColour, PatchTask.SameColour]) Array.Fill(labels[(int)task], Ignored);
        return labels;
    }

    private static void Set(long[][] labels, int cell, SceneObject? item, bool empty)
    {
        labels[(int)PatchTask.Colour][cell] = item is not null ? (int)item.Colour + 1 : empty ? 0 : Ignored;
        labels[(int)PatchTask.Shape][cell] = item is not null ? (int)item.Shape : Ignored;
        labels[(int)PatchTask.Size][cell] = item is not null ? (int)item.Size : Ignored;
        labels[(int)PatchTask.Texture][cell] = item is { ShowsTexture: true } ? (int)item.Texture : Ignored;
        labels[(int)PatchTask.Mark][cell] = item is not null ? MarkOf(item) : Ignored;
        labels[(int)PatchTask.X][cell] = item is not null ? PlaceOf(item.X) : Ignored;
        labels[(int)PatchTask.Y][cell] = item is not null ? PlaceOf(item.Y) : Ignored;
    }

    private static void SetSurroundings(long[][] labels, int cell, Surroundings around)
    {
        labels[(int)PatchTask.FromLeft][cell] = around.FromLeft;
        labels[(int)PatchTask.FromRight][cell] = around.FromRight;
        labels[(int)PatchTask.NextColour][cell] = around.NextColour;
        labels[(int)PatchTask.NextShape][cell] = around.NextShape;
        labels[(int)PatchTask.NearColour][cell] = around.NearColour;
        labels[(int)PatchTask.NearShape][cell] = around.NearShape;
        labels[(int)PatchTask.SameColour][cell] = around.SameColour;
        labels[(int)PatchTask.SameShape][cell] = around.SameShape;
    }

    /// <summary>Class of a place along an edge, given as a share of it.</summary>
    public static long PlaceOf(float share) => Math.Clamp((int)(share * Places), 0, Places - 1);

    /// <summary>Class of what is written on an object.</summary>
    public static long MarkOf(SceneObject item) => item.Mark is { } mark ? Marks.IndexOf(mark) + 1 : 0;
}
