namespace LlavaSp.Worlds;

/// <summary>PCG32: our own, so that a seed gives the same world under every version of .NET.</summary>
public sealed class WorldRandom
{
    private readonly ulong _increment;
    private ulong _state;

    /// <summary>Starts a sequence. Sequences of different streams never run into each other.</summary>
    public WorldRandom(ulong seed, ulong stream)
    {
        _increment = (stream << 1) | 1;
        NextUInt();
        _state += seed;
        NextUInt();
    }

    /// <summary>The next 32 bits.</summary>
    public uint NextUInt()
    {
        ulong old = _state;
        _state = unchecked((old * 6364136223846793005UL) + _increment);
        uint shifted = (uint)(((old >> 18) ^ old) >> 27);
        return uint.RotateRight(shifted, (int)(old >> 59));
    }

    /// <summary>A whole number of [0, limit). The remainder's bias is below 2^-24 for the limits of this world.</summary>
    public int Next(int limit)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        return (int)(((ulong)NextUInt() * (ulong)limit) >> 32);
    }

    /// <summary>A number of [0, 1), exact in float.</summary>
    public float NextFloat() => (NextUInt() >> 8) * (1f / (1 << 24));

    /// <summary>A number of [low, high).</summary>
    public float NextFloat(float low, float high) => low + ((high - low) * NextFloat());

    /// <summary>True with this probability.</summary>
    public bool Chance(float probability) => NextFloat() < probability;

    /// <summary>One of a list.</summary>
    public T Pick<T>(IReadOnlyList<T> items)
    {
        ArgumentNullException.ThrowIfNull(items);
        return items[Next(items.Count)];
    }
}
