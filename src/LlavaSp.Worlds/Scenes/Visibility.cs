using LlavaSp.Worlds.Rendering;

namespace LlavaSp.Worlds.Scenes;

/// <summary>How much of each object the later ones leave visible.</summary>
public static class Visibility
{
    /// <summary>Visible share of each object, counted over the points of an id mask.</summary>
    public static float[] Shares(Scene scene, int side)
    {
        ArgumentNullException.ThrowIfNull(scene);
        byte[] mask = IdMask.Draw(scene, side);
        var visible = new int[scene.Objects.Count];
        foreach (byte id in mask)
        {
            if (id > 0) visible[id - 1]++;
        }

        var shares = new float[visible.Length];
        for (int i = 0; i < shares.Length; i++) shares[i] = visible[i] / (float)Math.Max(1, IdMask.Count(scene.Objects[i], side));
        return shares;
    }

    /// <summary>The least of the shares; without counting where no two objects can touch.</summary>
    internal static float LeastShare(Scene scene, int side) => AnyTouch(scene.Objects) ? Shares(scene, side).Min() : 1;

    private static bool AnyTouch(IReadOnlyList<SceneObject> objects)
    {
        for (int i = 0; i < objects.Count; i++)
        {
            for (int j = 0; j < i; j++)
            {
                float dx = objects[i].X - objects[j].X, dy = objects[i].Y - objects[j].Y;
                float reach = (objects[i].Radius + objects[j].Radius) * SceneObject.Reach;
                if ((dx * dx) + (dy * dy) < reach * reach) return true;
            }
        }

        return false;
    }
}
