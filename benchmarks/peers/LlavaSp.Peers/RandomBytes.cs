namespace LlavaSp.Peers;

/// <summary>Random values of any length, out of one block: speed does not depend on them.</summary>
internal sealed class RandomBytes
{
    // Bytes of a prime number of elements, so that the rows of no matrix repeat after few rows.
    private const int Elements = 1_000_003;

    private readonly byte[] _block;

    /// <summary>Blocks of a quantised format: random bytes with a small half-precision scale at <paramref name="scaleAt"/>.</summary>
    public RandomBytes(int blockBytes, int scaleAt)
    {
        _block = new byte[blockBytes * (Elements / 32)];
        new Random(1).NextBytes(_block);
        byte[] scale = BitConverter.GetBytes((Half)0.002f);
        for (int block = scaleAt; block < _block.Length; block += blockBytes) scale.CopyTo(_block, block);
    }

    private RandomBytes(byte[] block) => _block = block;

    /// <summary>Bytes as they come.</summary>
    public static RandomBytes Integers()
    {
        var block = new byte[Elements];
        new Random(2).NextBytes(block);
        return new RandomBytes(block);
    }

    /// <summary>float32 in ±<paramref name="range"/> around <paramref name="centre"/>.</summary>
    public static RandomBytes Floats(float range, float centre = 0)
    {
        var random = new Random(3);
        var block = new byte[Elements * sizeof(float)];
        Span<float> values = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(block.AsSpan());
        for (int i = 0; i < values.Length; i++) values[i] = centre + range * (random.NextSingle() * 2 - 1);
        return new RandomBytes(block);
    }

    /// <summary>Halves in ±<paramref name="range"/>.</summary>
    public static RandomBytes Halves(float range)
    {
        var random = new Random(4);
        var block = new byte[Elements * 2];
        Span<Half> values = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, Half>(block.AsSpan());
        for (int i = 0; i < values.Length; i++) values[i] = (Half)(range * (random.NextSingle() * 2 - 1));
        return new RandomBytes(block);
    }

    /// <summary>Writes <paramref name="bytes"/> bytes.</summary>
    public void Write(Stream output, long bytes)
    {
        for (long left = bytes; left > 0; left -= _block.Length) output.Write(_block, 0, (int)Math.Min(left, _block.Length));
    }
}
