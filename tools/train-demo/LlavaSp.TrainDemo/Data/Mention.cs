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

/// <summary>A noun of a packed question or answer, and what it names: the number of objects, and of a single one everything.</summary>
/// <param name="At">Place in <see cref="PackedQuestions.Ids"/>.</param>
/// <param name="Labels">For each task.</param>
/// <param name="Relations">For each <see cref="RelationTask"/>.</param>
internal sealed record Mention(int At, long[] Labels, long[] Relations)
{
    private const int MostObjects = 6;

    /// <summary>Classes of a task.</summary>
    public static int Classes(MentionTask task) => task switch
    {
        MentionTask.Count => MostObjects + 1,
        MentionTask.X or MentionTask.Y => PatchLabels.Classes(PatchTask.X),
        MentionTask.Colour or MentionTask.Shape or MentionTask.NearColour or MentionTask.NearShape => Combinations.Side,
        MentionTask.Texture => PatchLabels.Classes(PatchTask.Texture),
        MentionTask.Mark => PatchLabels.Classes(PatchTask.Mark),
        MentionTask.FromLeft or MentionTask.FromRight or MentionTask.SameColour or MentionTask.SameShape => Surroundings.Counts,
        MentionTask.NextColour or MentionTask.NextShape => Surroundings.Kinds,
        _ => 2,
    };

    /// <summary>The nouns of a question and its answer.</summary>
    /// <param name="words">Their words, one for each token.</param>
    /// <param name="offset">Place of the first.</param>
    /// <param name="scene">The scene.</param>
    /// <param name="coloured">Whether its picture shows its colours.</param>
    public static IEnumerable<Mention> Of(IReadOnlyList<string> words, int offset, Scene scene, bool coloured)
    {
        SceneObject[]? before = null;
        foreach (var (_, noun, fits) in NamedObjects.In(words))
        {
            SceneObject[] fitting = [.. scene.Objects.Where(fits)];
            var labels = new long[Enum.GetValues<MentionTask>().Length];
            Array.Fill(labels, PatchLabels.Ignored);
            labels[(int)MentionTask.Count] = fitting.Length;
            if (fitting.Length == 1) Describe(labels, fitting[0], Surroundings.Of(fitting[0], scene));
            if (!coloured) ForgetColours(labels);
            yield return new Mention(offset + noun, labels, Relation.Of(before, fitting));
            before = fitting;
        }
    }

    private static void ForgetColours(long[] labels)
    {
        foreach (MentionTask task in (MentionTask[])[MentionTask.Colour, MentionTask.NextColour, MentionTask.NearColour, MentionTask.SameColour]) labels[(int)task] = PatchLabels.Ignored;
    }

    private static void Describe(long[] labels, SceneObject item, Surroundings around)
    {
        labels[(int)MentionTask.X] = PatchLabels.PlaceOf(item.X);
        labels[(int)MentionTask.Y] = PatchLabels.PlaceOf(item.Y);
        labels[(int)MentionTask.Colour] = (int)item.Colour;
        labels[(int)MentionTask.Shape] = (int)item.Shape;
        labels[(int)MentionTask.Size] = (int)item.Size;
        if (item.ShowsTexture) labels[(int)MentionTask.Texture] = (int)item.Texture;
        labels[(int)MentionTask.Mark] = PatchLabels.MarkOf(item);
        labels[(int)MentionTask.FromLeft] = around.FromLeft;
        labels[(int)MentionTask.FromRight] = around.FromRight;
        labels[(int)MentionTask.NextColour] = around.NextColour;
        labels[(int)MentionTask.NextShape] = around.NextShape;
        labels[(int)MentionTask.NearColour] = around.NearColour;
        labels[(int)MentionTask.NearShape] = around.NearShape;
        labels[(int)MentionTask.SameColour] = around.SameColour;
        labels[(int)MentionTask.SameShape] = around.SameShape;
    }
}
