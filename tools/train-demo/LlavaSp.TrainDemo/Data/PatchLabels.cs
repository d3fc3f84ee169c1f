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
}

/// <summary>
/// What each patch of a scene shows: the dense labels from which the vision tower learns to see, in place of CLIP's hundreds of millions of captions.
/// </summary>
internal static class PatchLabels
{
    // Places along an edge that are told apart.
    private const int Places = 12;

    /// <summary>Every character that can be written on an object.</summary>
    public const string Marks = "0123456789" + SceneMaker.Letters;

    /// <summary>Classes of a task.</summary>
    public static int Classes(PatchTask task) => task switch
    {
        PatchTask.Colour => Combinations.Side + 1,
        PatchTask.Shape => Combinations.Side,
        PatchTask.Texture => 3,
        PatchTask.Mark or PatchTask.Glyph => Marks.Length + 1,
        PatchTask.X or PatchTask.Y => Places,
        _ => 2,
    };

    /// <summary>Labels [tasks, grid * grid].</summary>
    /// <param name="scene">The scene.</param>
    /// <param name="owners">Which object each patch shows.</param>
    /// <param name="colours">The picture's colours.</param>
    public static Label[][] Of(Scene scene, PatchOwners owners, PictureColours colours)
    {
        int grid = owners.Grid;
        Label[][] ofObjects = [.. scene.Objects.Select(item => OfObject(item, colours))];
        Label[] unclear = Unasked(), background = Unasked();
        if (colours.AreSaid) background[(int)PatchTask.Colour] = 0;
        Label[][] labels = Spread(owners, cell => owners[cell] >= 0 ? ofObjects[owners[cell]] : owners[cell] == PatchOwners.Nobody ? background : unclear);
        foreach (SceneObject item in scene.Objects)
        {
            labels[(int)PatchTask.Centre][((int)(item.Y * grid) * grid) + (int)(item.X * grid)] = 1;
            if (item.Mark is null) continue;
            foreach (int cell in owners.UnderMark(item)) labels[(int)PatchTask.Glyph][cell] = MarkOf(item);
        }

        return labels;
    }

    /// <summary>What is around the object that each patch shows, [tasks, grid * grid].</summary>
    /// <inheritdoc cref="Of"/>
    public static Label[][] Around(Scene scene, PatchOwners owners, PictureColours colours)
    {
        Label[] none = Surroundings.Of(null, scene, colours);
        Label[][] ofObjects = [.. scene.Objects.Select(item => Surroundings.Of(item, scene, colours))];
        return Spread(owners, cell => owners[cell] >= 0 ? ofObjects[owners[cell]] : none);
    }

    // [tasks, patches] of what each patch has for all tasks.
    private static Label[][] Spread(PatchOwners owners, Func<int, Label[]> of)
    {
        Label[][] ofPatches = [.. Enumerable.Range(0, owners.Count).Select(of)];
        return [.. ofPatches[0].Select((_, task) => ofPatches.Select(patch => patch[task]).ToArray())];
    }

    // Every patch is asked whether a centre lies in it.
    private static Label[] Unasked()
    {
        var labels = new Label[Enum.GetValues<PatchTask>().Length];
        Array.Fill(labels, Label.None);
        labels[(int)PatchTask.Centre] = 0;
        return labels;
    }

    // What all patches of an object have.
    private static Label[] OfObject(SceneObject item, PictureColours colours)
    {
        Label[] labels = Unasked();
        labels[(int)PatchTask.Colour] = colours.ColourOf(item, 1);
        labels[(int)PatchTask.Shape] = colours.ShapeOf(item);
        labels[(int)PatchTask.Size] = (int)item.Size;
        if (item.ShowsTexture) labels[(int)PatchTask.Texture] = (int)item.Texture;
        labels[(int)PatchTask.Mark] = MarkOf(item);
        labels[(int)PatchTask.X] = PlaceOf(item.X);
        labels[(int)PatchTask.Y] = PlaceOf(item.Y);
        return labels;
    }

    /// <summary>Class of a place along an edge, given as a share of it.</summary>
    public static long PlaceOf(float share) => Math.Clamp((int)(share * Places), 0, Places - 1);

    /// <summary>Class of what is written on an object.</summary>
    public static long MarkOf(SceneObject item) => item.Mark is { } mark ? Marks.IndexOf(mark) + 1 : 0;
}
