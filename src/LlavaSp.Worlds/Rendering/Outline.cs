using LlavaSp.Worlds.Scenes;

namespace LlavaSp.Worlds.Rendering;

/// <summary>Signed distances to outlines, negative inside. Only operations that IEEE 754 rounds exactly, so that pictures agree between platforms.</summary>
internal static class Outline
{
    private const float HeartScale = 1.75f, RootOfTwoQuarter = 0.35355339f;

    // Corners in units of the radius; y grows downwards.
    private static readonly float[][] Corners =
    [
        [],
        [-0.84f, -0.84f, 0.84f, -0.84f, 0.84f, 0.84f, -0.84f, 0.84f],
        [0f, -1.18f, 1.0219f, 0.59f, -1.0219f, 0.59f],
        Star(1.18f, 0.56f),
        [0f, -1.18f, 0.82f, 0f, 0f, 1.18f, -0.82f, 0f],
        Cross(1.05f, 0.4f),
        [],
        [1.08f, 0f, 0.54f, 0.93531f, -0.54f, 0.93531f, -1.08f, 0f, -0.54f, -0.93531f, 0.54f, -0.93531f],
    ];

    /// <summary>A place in the object's own axes, in units of its radius.</summary>
    public static (float X, float Y) ToLocal(SceneObject item, float x, float y)
    {
        float t = item.Tilt, scale = 1 / (1 + (t * t)), cos = (1 - (t * t)) * scale, sin = 2 * t * scale;
        float dx = (x - item.X) / item.Radius, dy = (y - item.Y) / item.Radius;
        return ((dx * cos) + (dy * sin), (dy * cos) - (dx * sin));
    }

    /// <summary>Distance in units of the radius.</summary>
    public static float Distance(Shape shape, float x, float y) => shape switch
    {
        Shape.Circle => MathF.Sqrt((x * x) + (y * y)) - 1,
        Shape.Heart => Heart(x / HeartScale, 0.54f - (y / HeartScale)) * HeartScale,
        _ => Polygon(Corners[(int)shape], x, y),
    };

    private static float Polygon(float[] corners, float x, float y)
    {
        float nearest = float.MaxValue;
        bool inside = false;
        for (int i = 0, j = corners.Length - 2; i < corners.Length; j = i, i += 2)
        {
            float ax = corners[i], ay = corners[i + 1], bx = corners[j], by = corners[j + 1];
            float ex = bx - ax, ey = by - ay, wx = x - ax, wy = y - ay;
            float along = Math.Clamp(((wx * ex) + (wy * ey)) / ((ex * ex) + (ey * ey)), 0, 1);
            float rx = wx - (ex * along), ry = wy - (ey * along);
            nearest = Math.Min(nearest, (rx * rx) + (ry * ry));
            if (ay > y != by > y && x < ax + (ex * (y - ay) / ey)) inside = !inside;
        }

        float distance = MathF.Sqrt(nearest);
        return inside ? -distance : distance;
    }

    // Tip at the origin, y upwards.
    private static float Heart(float x, float y)
    {
        x = Math.Abs(x);
        if (x + y > 1) return MathF.Sqrt(Square(x - 0.25f) + Square(y - 0.75f)) - RootOfTwoQuarter;
        float middle = 0.5f * Math.Max(x + y, 0);
        float distance = MathF.Sqrt(Math.Min(Square(x) + Square(y - 1), Square(x - middle) + Square(y - middle)));
        return x < y ? -distance : distance;
    }

    private static float Square(float value) => value * value;

    private static float[] Star(float outer, float inner)
    {
        // Sines and cosines of multiples of 36 degrees as constants: those of the platform differ in their last bit.
        ReadOnlySpan<float> sin = [0f, 0.58778525f, 0.95105652f, 0.95105652f, 0.58778525f, 0f, -0.58778525f, -0.95105652f, -0.95105652f, -0.58778525f];
        ReadOnlySpan<float> cos = [1f, 0.80901699f, 0.30901699f, -0.30901699f, -0.80901699f, -1f, -0.80901699f, -0.30901699f, 0.30901699f, 0.80901699f];
        var corners = new float[20];
        for (int i = 0; i < 10; i++)
        {
            float radius = i % 2 == 0 ? outer : inner;
            corners[2 * i] = radius * sin[i];
            corners[(2 * i) + 1] = -radius * cos[i];
        }

        return corners;
    }

    private static float[] Cross(float l, float w) =>
        [-w, -l, w, -l, w, -w, l, -w, l, w, w, w, w, l, -w, l, -w, w, -l, w, -l, -w, -w, -w];
}
