using LlavaSp.Worlds.Scenes;

namespace LlavaSp.TrainDemo.Data;

/// <summary>One thing that a noun's position is asked for while the decoder learns.</summary>
internal enum MentionTask
{
    /// <summary>How many objects it fits.</summary>
    Count,

    /// <summary>The column in which the object is.</summary>
    X,

    /// <summary>The row.</summary>
    Y,

    /// <summary>The colour.</summary>
    Colour,

    /// <summary>The shape.</summary>
    Shape,

    /// <summary>Small or large.</summary>
    Size,

    /// <summary>The texture, where one can be seen.</summary>
    Texture,

    /// <summary>0 for none, else what is written.</summary>
    Mark,
}

/// <summary>A noun of a packed question or answer, and what it names: the number of objects, and of a single one everything.</summary>
/// <param name="At">Place in <see cref="PackedQuestions.Ids"/>.</param>
/// <param name="Labels">For each task.</param>
/// <param name="Around">For each <see cref="SurroundingTask"/>.</param>
/// <param name="Relations">For each <see cref="RelationTask"/>.</param>
internal sealed record Mention(int At, Label[] Labels, Label[] Around, Label[] Relations)
{
    private const int MostObjects = 6;

    /// <summary>Classes of a task.</summary>
    public static int Classes(MentionTask task) => task switch
    {
        MentionTask.Count => MostObjects + 1,
        MentionTask.X or MentionTask.Y => PatchLabels.Classes(PatchTask.X),
        MentionTask.Colour or MentionTask.Shape => Combinations.Side,
        MentionTask.Texture => PatchLabels.Classes(PatchTask.Texture),
        MentionTask.Mark => PatchLabels.Classes(PatchTask.Mark),
        _ => 2,
    };

    /// <summary>The nouns of a question and its answer.</summary>
    /// <param name="words">Their words, one for each token.</param>
    /// <param name="offset">Place of the first.</param>
    /// <param name="scene">The scene.</param>
    /// <param name="colours">The picture's colours.</param>
    public static IEnumerable<Mention> Of(IReadOnlyList<string> words, int offset, Scene scene, PictureColours colours)
    {
        SceneObject[]? before = null;
        foreach (Phrase phrase in NamedObjects.In(words))
        {
            SceneObject[] fitting = [.. scene.Objects.Where(phrase.Fits)];
            SceneObject? single = fitting.Length == 1 ? fitting[0] : null;
            Label[] labels = Of(single, colours);
            labels[(int)MentionTask.Count] = fitting.Length;
            yield return new Mention(offset + phrase.Noun, labels, Surroundings.Of(single, scene, colours), Relation.Of(before, fitting));
            before = fitting;
        }
    }

    /// <summary>Labels for each task of a single object, but its number; none are asked where there is no object.</summary>
    /// <param name="item">The object; null for none.</param>
    /// <param name="colours">The picture's colours.</param>
    public static Label[] Of(SceneObject? item, PictureColours colours)
    {
        var labels = new Label[Enum.GetValues<MentionTask>().Length];
        Array.Fill(labels, Label.None);
        if (item is null) return labels;
        labels[(int)MentionTask.X] = PatchLabels.PlaceOf(item.X);
        labels[(int)MentionTask.Y] = PatchLabels.PlaceOf(item.Y);
        labels[(int)MentionTask.Colour] = colours.ColourOf(item);
        labels[(int)MentionTask.Shape] = colours.ShapeOf(item);
        labels[(int)MentionTask.Size] = (int)item.Size;
        if (item.ShowsTexture) labels[(int)MentionTask.Texture] = (int)item.Texture;
        labels[(int)MentionTask.Mark] = PatchLabels.MarkOf(item);
        return labels;
    }
}
