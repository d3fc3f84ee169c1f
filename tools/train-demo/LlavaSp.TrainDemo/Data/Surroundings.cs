using LlavaSp.Worlds.Scenes;

namespace LlavaSp.TrainDemo.Data;

/// <summary>
/// What is around an object, as labels: how many objects lie further left and further right, which follows from left to right, which is nearest, how many are alike. Both
/// patches and nouns are asked for it: a vision tower sees all objects at once, and a decoder of a few layers has none to spare for the search.
/// </summary>
/// <param name="FromLeft">Objects further left.</param>
/// <param name="FromRight">Objects further right.</param>
/// <param name="NextColour">Colour of the next one to the right, plus one; 0 where there is none.</param>
/// <param name="NextShape">Its shape, likewise.</param>
/// <param name="NearColour">Colour of the nearest.</param>
/// <param name="NearShape">Its shape.</param>
/// <param name="SameColour">How many others have its colour.</param>
/// <param name="SameShape">How many others have its shape.</param>
internal sealed record Surroundings(long FromLeft, long FromRight, long NextColour, long NextShape, long NearColour, long NearShape, long SameColour, long SameShape)
{
    /// <summary>Classes of what counts objects, and of what names a colour or shape or none.</summary>
    public const int Counts = 6, Kinds = Combinations.Side + 1;

    // Nearer ones are too close to call.
    private const float Apart = 0.02f, NearestRatio = 1.1f;

    /// <summary>Of what is no object.</summary>
    public static readonly Surroundings Unknown = new(
        PatchLabels.Ignored, PatchLabels.Ignored, PatchLabels.Ignored, PatchLabels.Ignored, PatchLabels.Ignored, PatchLabels.Ignored, PatchLabels.Ignored, PatchLabels.Ignored);

    /// <summary>What is around an object of a scene; what is close to call is ignored.</summary>
    public static Surroundings Of(SceneObject item, Scene scene)
    {
        SceneObject[] others = [.. scene.Objects.Where(other => !ReferenceEquals(other, item))];
        Surroundings around = Unknown with { SameColour = others.Count(other => other.Colour == item.Colour), SameShape = others.Count(other => other.Shape == item.Shape) };
        if (!Array.Exists(others, other => Math.Abs(other.X - item.X) < Apart))
        {
            SceneObject[] right = [.. others.Where(other => other.X > item.X).OrderBy(other => other.X)];
            around = around with { FromLeft = others.Length - right.Length, FromRight = right.Length };
            if (right.Length == 0) around = around with { NextColour = 0, NextShape = 0 };
            else if (right.Length == 1 || right[1].X - right[0].X >= Apart)
                around = around with { NextColour = (int)right[0].Colour + 1, NextShape = (int)right[0].Shape + 1 };
        }

        SceneObject[] near = [.. others.OrderBy(Distance)];
        if (near.Length > 0 && (near.Length == 1 || Distance(near[1]) >= NearestRatio * Distance(near[0])))
            around = around with { NearColour = (int)near[0].Colour, NearShape = (int)near[0].Shape };
        return around;

        float Distance(SceneObject other) => MathF.Sqrt(((other.X - item.X) * (other.X - item.X)) + ((other.Y - item.Y) * (other.Y - item.Y)));
    }
}
