using LlavaSp.Worlds.Rendering;

namespace LlavaSp.Worlds.Scenes;

/// <summary>Draws lots for a scene: rejection until everything fits and is visible.</summary>
internal static class SceneMaker
{
    /// <summary>The least share of an object that must be visible.</summary>
    public const float LeastVisible = 0.8f;

    /// <summary>Characters without look-alikes: no O beside 0, no I beside 1, no B beside 8.</summary>
    public const string Letters = "ACEFHKLMNPRTUXY";

    private const int MostObjects = 6, MostLarge = 3, Tries = 40, VisibilitySide = 112;
    private const float Margin = 0.01f, MarkRoom = 0.08f;

    public static Scene Make(WorldRandom random, bool withHeldOut)
    {
        int count = 1 + random.Next(MostObjects);
        while (true)
        {
            var objects = new List<SceneObject>(count);
            while (objects.Count < count && Add(objects, random, withHeldOut)) { }
            if (objects.Count < count) continue;
            var scene = new Scene(objects, MakeBackground(random));
            if (Visibility.LeastShare(scene, VisibilitySide) >= LeastVisible) return scene;
        }
    }

    private static bool Add(List<SceneObject> objects, WorldRandom random, bool withHeldOut)
    {
        for (int i = 0; i < Tries; i++)
        {
            SceneObject candidate = Draw(objects, random, withHeldOut);
            if (!objects.TrueForAll(other => GoesTogether(other, candidate))) continue;
            objects.Add(candidate);
            return true;
        }

        return false;
    }

    private static SceneObject Draw(List<SceneObject> objects, WorldRandom random, bool withHeldOut)
    {
        var (colour, shape) = DrawKind(objects, random, withHeldOut);
        bool large = random.Chance(0.5f) && objects.Count(other => other.Size == Size.Large) < MostLarge;
        float radius = large ? random.NextFloat(0.14f, 0.165f) : random.NextFloat(0.085f, 0.1f);
        float room = (radius * SceneObject.Reach) + Margin;
        // On both sizes alike: a mark must not tell the size.
        char? mark = random.Chance(0.35f) ? DrawMark(objects, random) : null;
        return new SceneObject(
            shape, colour, large ? Size.Large : Size.Small, (Texture)random.Next(3),
            random.NextFloat(room, 1 - room), random.NextFloat(room, 1 - room), radius,
            random.NextFloat(-0.1f, 0.1f), random.NextFloat(0.92f, 1f), mark);
    }

    // Shared colours and shapes make counting and adversarial questions possible.
    private static (Colour Colour, Shape Shape) DrawKind(List<SceneObject> objects, WorldRandom random, bool withHeldOut)
    {
        while (true)
        {
            var colour = (Colour)random.Next(Combinations.Side);
            var shape = (Shape)random.Next(Combinations.Side);
            if (objects.Count > 0 && random.Chance(0.5f))
            {
                SceneObject other = random.Pick(objects);
                if (random.Chance(0.5f)) colour = other.Colour;
                else shape = other.Shape;
            }

            if (withHeldOut || !Combinations.IsHeldOut(colour, shape)) return (colour, shape);
        }
    }

    private static char DrawMark(List<SceneObject> objects, WorldRandom random)
    {
        while (true)
        {
            char mark = random.Chance(0.5f) ? (char)('0' + random.Next(10)) : random.Pick(Letters.ToCharArray());
            if (objects.TrueForAll(other => other.Mark != mark)) return mark;
        }
    }

    // Overlaps are small, between different colours, and never reach what is written.
    private static bool GoesTogether(SceneObject under, SceneObject over)
    {
        float dx = under.X - over.X, dy = under.Y - over.Y, distance = MathF.Sqrt((dx * dx) + (dy * dy));
        float reach = (under.Radius + over.Radius) * SceneObject.Reach;
        if (distance >= reach) return true;
        return under.Colour != over.Colour
            && distance >= 0.75f * reach
            && (under.Mark is null || distance >= (over.Radius * SceneObject.Reach) + MarkRoom);
    }

    private static Background MakeBackground(WorldRandom random) => new(
        MakeTone(random), MakeTone(random), random.NextFloat(-1, 1), random.NextFloat(-1, 1), random.Next(13), random.NextUInt());

    // Middle greys with a tint: white, black and every strong colour stand out from them.
    private static int MakeTone(WorldRandom random)
    {
        int grey = 110 + random.Next(50);
        int Channel() => grey - 10 + random.Next(21);
        return (Channel() << 16) | (Channel() << 8) | Channel();
    }
}
