using LlavaSp.Worlds.Rendering;
using LlavaSp.Worlds.Scenes;

namespace LlavaSp.TrainDemo.Data;

/// <summary>Which object each patch of a scene shows.</summary>
internal sealed class PatchOwners
{
    /// <summary>Owner of a patch that shows nothing but background.</summary>
    public const int Nobody = -1;

    /// <summary>Owner of a patch with a little of an object: too close to call.</summary>
    public const int Unclear = -2;

    private const int Side = SceneRenderer.DefaultSide;

    // Of a patch's pixels: from a quarter on it shows the object.
    private const float LeastShare = 0.25f;

    private readonly int[] _owners;

    public PatchOwners(Scene scene, int patch)
    {
        Grid = Side / patch;
        _owners = new int[Grid * Grid];
        byte[] mask = IdMask.Draw(scene, Side);
        Span<int> pixels = stackalloc int[scene.Objects.Count + 1];
        for (int cell = 0; cell < _owners.Length; cell++)
        {
            pixels.Clear();
            for (int i = 0; i < patch * patch; i++)
                pixels[mask[((((cell / Grid) * patch) + (i / patch)) * Side) + ((cell % Grid) * patch) + (i % patch)]]++;
            int most = 1;
            for (int id = 2; id < pixels.Length; id++)
                if (pixels[id] > pixels[most]) most = id;
            _owners[cell] = pixels[most] >= LeastShare * patch * patch ? most - 1 : pixels[0] == patch * patch ? Nobody : Unclear;
        }
    }

    // Of a digit or letter: its corner alone says nothing.
    private const float LeastGlyph = 0.15f;

    /// <summary>Patches along an edge.</summary>
    public int Grid { get; }

    /// <summary>Patches.</summary>
    public int Count => _owners.Length;

    /// <summary>Whether any patch shows an object.</summary>
    public bool Has(int item) => Array.IndexOf(_owners, item) >= 0;

    /// <summary>Patches that show a part of what is written on an object.</summary>
    public IEnumerable<int> UnderMark(SceneObject item)
    {
        float side = SceneRenderer.GlyphHeight(item.Size), half = side / 2;
        for (int cell = 0; cell < Count; cell++)
        {
            float shared = Shared(item.X, cell % Grid) * Shared(item.Y, cell / Grid);
            if (shared >= LeastGlyph * side * side) yield return cell;
        }

        float Shared(float centre, int place) => Math.Max(0, Math.Min(centre + half, (place + 1f) / Grid) - Math.Max(centre - half, place / (float)Grid));
    }

    /// <summary>Place of the object in the scene, <see cref="Nobody"/> or <see cref="Unclear"/>.</summary>
    public int this[int patch] => _owners[patch];
}
