using System.Runtime.InteropServices;
using LlavaSp.Imaging;
using LlavaSp.Text;

namespace LlavaSp.Generation;

/// <summary>A run of positions of a prompt: text ids, or the features of one picture.</summary>
/// <param name="Start">First position.</param>
/// <param name="Length">Positions.</param>
/// <param name="IdOffset">Where the text's ids begin in the prompt's id list.</param>
/// <param name="Picture">Index of the picture; -1 for text.</param>
internal readonly record struct PromptSegment(int Start, int Length, int IdOffset, int Picture);

/// <summary>
/// A prompt with its pictures spliced in (upstream llava_arch.py): every placeholder id becomes the rows of its picture.
/// </summary>
internal sealed class PromptSequence
{
    private PromptSequence(int[] ids, PreparedImage[] images, PromptSegment[] segments, UInt128[] keys)
    {
        Ids = ids;
        Images = images;
        Segments = segments;
        Keys = keys;
    }

    /// <summary>Token ids with placeholders.</summary>
    public int[] Ids { get; }

    /// <summary>Pictures in the order of their placeholders.</summary>
    public PreparedImage[] Images { get; }

    /// <summary>Runs of positions.</summary>
    public PromptSegment[] Segments { get; }

    /// <summary>Identity of what stands at each position: equal keys before and at a position mean equal cache contents.</summary>
    public UInt128[] Keys { get; }

    /// <summary>Positions.</summary>
    public int Length => Keys.Length;

    /// <summary>Positions at the beginning that a cache holds already.</summary>
    /// <param name="held">Keys of what it holds.</param>
    public int CommonPrefix(List<UInt128> held) => Keys.AsSpan().CommonPrefixLength(CollectionsMarshal.AsSpan(held));

    /// <summary>Whether a picture has positions at or behind <paramref name="first"/>.</summary>
    public bool HasPictureFrom(int first)
    {
        foreach (PromptSegment segment in Segments)
            if (segment.Picture >= 0 && segment.Start + segment.Length > first) return true;
        return false;
    }

    /// <summary>Refuses a context that is too short.</summary>
    /// <exception cref="PromptException">The prompt does not fit.</exception>
    public void RequireRoom(int capacity)
    {
        if (Length <= capacity) return;
        throw new PromptException(
            $"the prompt takes {Length} positions, pictures included; the context holds {capacity}: shorten it or use fewer pictures");
    }

    /// <summary>Splices.</summary>
    /// <param name="ids">Token ids, <see cref="ImageToken.Id"/> for each picture.</param>
    /// <param name="images">The pictures.</param>
    /// <param name="lengthOf">Rows of a picture.</param>
    /// <param name="vocabulary">Ids must be below.</param>
    /// <param name="cutAt">Cuts the sequence at the right, pictures included, as upstream does at tokenizer_model_max_length; null keeps all.</param>
    /// <exception cref="PromptException">No ids, an id outside the vocabulary, or not one picture for each placeholder.</exception>
    public static PromptSequence Create(
        int[] ids, IReadOnlyList<PreparedImage> images, Func<PreparedImage, int> lengthOf, int vocabulary, int? cutAt = null)
    {
        if (ids.Length == 0) throw new PromptException("the prompt is empty: give at least one token");
        int placeholders = ids.Count(static id => id == ImageToken.Id);
        if (placeholders != images.Count)
        {
            throw new PromptException(
                $"the prompt has {placeholders} <image> placeholder(s) for {images.Count} picture(s): write one <image> for each picture, or none for all");
        }

        var segments = new List<PromptSegment>();
        var keys = new List<UInt128>();
        for (int i = 0, picture = 0; i < ids.Length;)
        {
            int start = keys.Count, offset = i;
            if (ids[i] == ImageToken.Id)
            {
                PreparedImage image = images[picture];
                UInt128 content = ContentKey(image);
                int length = lengthOf(image);
                for (int r = 0; r < length; r++) keys.Add(content + (UInt128)r);
                segments.Add(new PromptSegment(start, length, i++, picture++));
                continue;
            }

            for (; i < ids.Length && ids[i] != ImageToken.Id; i++)
            {
                if (ids[i] < 0 || ids[i] >= vocabulary)
                    throw new PromptException($"token id {ids[i]} at position {i} is outside the vocabulary of {vocabulary}");
                keys.Add((UInt128)(uint)ids[i]);
            }

            segments.Add(new PromptSegment(start, i - offset, offset, -1));
        }

        if (cutAt is { } limit && keys.Count > limit)
        {
            keys.RemoveRange(limit, keys.Count - limit);
            segments = [.. segments.Where(segment => segment.Start < limit).Select(segment => segment with { Length = Math.Min(segment.Length, limit - segment.Start) })];
        }

        return new PromptSequence(ids, [.. images], [.. segments], [.. keys]);
    }

    /// <summary>The picture's SHA-256, cut to 127 bits and marked by the highest one, so that it never equals a token id.</summary>
    private static UInt128 ContentKey(PreparedImage image) =>
        UInt128.Parse(image.ContentHash.AsSpan(0, 32), System.Globalization.NumberStyles.HexNumber, null) | (UInt128.One << 127);
}
