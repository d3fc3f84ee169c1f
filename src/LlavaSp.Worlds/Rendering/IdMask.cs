using LlavaSp.Worlds.Scenes;

namespace LlavaSp.Worlds.Rendering;

/// <summary>Which object each point shows: 0 for none, else one more than its place in the scene.</summary>
public static class IdMask
{
    /// <summary>[side, side], sampled at the middle of each pixel.</summary>
    public static byte[] Draw(Scene scene, int side)
    {
        ArgumentNullException.ThrowIfNull(scene);
        ArgumentOutOfRangeException.ThrowIfLessThan(side, 1);
        var mask = new byte[side * side];
        for (int i = 0; i < scene.Objects.Count; i++)
        {
            SceneObject item = scene.Objects[i];
            PixelBox box = PixelBox.Of(item, side);
            for (int y = box.Top; y < box.Bottom; y++)
            {
                for (int x = box.Left; x < box.Right; x++)
                {
                    if (Covers(item, x, y, side)) mask[(y * side) + x] = (byte)(i + 1);
                }
            }
        }

        return mask;
    }

    /// <summary>Pixels of an object with nothing before it.</summary>
    internal static int Count(SceneObject item, int side)
    {
        PixelBox box = PixelBox.Of(item, side);
        int count = 0;
        for (int y = box.Top; y < box.Bottom; y++)
        {
            for (int x = box.Left; x < box.Right; x++) count += Covers(item, x, y, side) ? 1 : 0;
        }

        return count;
    }

    private static bool Covers(SceneObject item, int x, int y, int side)
    {
        var (localX, localY) = Outline.ToLocal(item, (x + 0.5f) / side, (y + 0.5f) / side);
        return Outline.Distance(item.Shape, localX, localY) < 0;
    }
}

/// <summary>The pixels that an object can touch.</summary>
internal readonly record struct PixelBox(int Left, int Top, int Right, int Bottom)
{
    public static PixelBox Of(SceneObject item, int side)
    {
        float reach = item.Radius * SceneObject.Reach;
        int First(float at) => Math.Clamp((int)((at - reach) * side) - 1, 0, side);
        int Last(float at) => Math.Clamp((int)((at + reach) * side) + 2, 0, side);
        return new PixelBox(First(item.X), First(item.Y), Last(item.X), Last(item.Y));
    }
}
