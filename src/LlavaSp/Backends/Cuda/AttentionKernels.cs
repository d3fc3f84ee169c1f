using System.Numerics;
using System.Runtime.InteropServices;

namespace LlavaSp.Backends.Cuda;

/// <summary>Parameters of vision_attention_W and vision_attention_bf16_W.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct VisionAttentionArguments
{
    public ulong Output, Qkv;
    public int OutputStride, OutputElement, Stride, Rows, Heads, HeadDim;
    public float Scale;
}

/// <summary>Parameters of prefill_attention_W and prefill_attention_int8_W.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct PrefillAttentionArguments
{
    public ulong Output, Query, Keys, Values, Pages;
    public int OutputStride, OutputElement, QueryStride, Rows, First, Heads, KvHeads, HeadDim;
    public float Scale;
}

/// <summary>Parameters of decode_attention_W and decode_attention_int8_W.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct DecodeAttentionArguments
{
    public ulong Output, PartialOutput, PartialSoftmax, Arrived, Query, Keys, Values, Pages, Lengths;
    public int OutputStride, OutputElement, QueryStride, PageStride, Length, Rows, Heads, KvHeads, HeadDim;
    public float Scale;
}

/// <summary>Parameters of rope_and_cache_ELEMENT and rope_and_cache_int8_ELEMENT.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct RopeAndCacheArguments
{
    public ulong Query, Keys, Values, Qkv, Cos, Sin, Pages, Lengths;
    public int QueryStride, Stride, CosStride, SinStride, PageStride, Rows, First, Heads, KvHeads, HeadDim, Lanes;
}

/// <summary>The kernels of attention, an instance for each power of two of head widths and format of the cache, and how they are launched.</summary>
internal sealed class AttentionKernels
{
    /// <summary>Widest head.</summary>
    public const int MaxHeadDim = 128;

    /// <summary>Most parts into which decoding splits a sequence: the warp that merges them has one lane for each.</summary>
    public const int MaxSplits = 32;

    // Four warps of 16 query rows, or of 16 of a page's 64 positions.
    private const int Threads = 128;
    private const int QueryRows = 64;
    private const int DecodeRows = 16;
    private const int RopeThreads = 256;

    // By width, Index of 16 and on; int8 has none for 16.
    private readonly Kernel<VisionAttentionArguments>[] _vision, _visionBF16;
    private readonly Kernel<PrefillAttentionArguments>[] _prefill, _prefillInt8;
    private readonly Kernel<DecodeAttentionArguments>[] _decode, _decodeInt8;

    // By element.
    private readonly Kernel<RopeAndCacheArguments>[] _rope, _ropeInt8;
    private readonly int _multiprocessors;

    public AttentionKernels(CudaModule module, int multiprocessors)
    {
        int[] widths = [16, 32, 64, 128];
        _multiprocessors = multiprocessors;
        _vision = [.. widths.Select(w => module.Find<VisionAttentionArguments>($"vision_attention_{w}", TileBytes(w)))];
        _visionBF16 = [.. widths.Select(w => module.Find<VisionAttentionArguments>($"vision_attention_bf16_{w}", TileBytes(w)))];
        _prefill = [.. widths.Select(w => module.Find<PrefillAttentionArguments>($"prefill_attention_{w}", TileBytes(w)))];
        _prefillInt8 = [.. widths[1..].Select(w => module.Find<PrefillAttentionArguments>($"prefill_attention_int8_{w}", TileBytes(w, KvFormat.Int8)))];
        _decode = [.. widths.Select(w => module.Find<DecodeAttentionArguments>($"decode_attention_{w}", DecodeBytes(w)))];
        _decodeInt8 = [.. widths[1..].Select(w => module.Find<DecodeAttentionArguments>($"decode_attention_int8_{w}", DecodeBytes(w, KvFormat.Int8)))];
        string[] elements = ["f32", "f16", "bf16"];
        _rope = [.. elements.Select(e => module.Find<RopeAndCacheArguments>($"rope_and_cache_{e}"))];
        _ropeInt8 = [.. elements.Select(e => module.Find<RopeAndCacheArguments>($"rope_and_cache_int8_{e}"))];
    }

    /// <summary>Factor of scores whose softmax is taken in base 2.</summary>
    public static float Scale(int headDim) => (float)(Math.Log2(Math.E) / Math.Sqrt(headDim));

    /// <summary>
    /// Whether few rows of a group of heads over many positions are better off with the positions split over the device than with one block per 64 rows: up to
    /// two tiles of 16, which read keys and values at most twice.
    /// </summary>
    public static bool IsDecode(int rows, int group) => (long)rows * group <= 2 * DecodeRows;

    /// <summary>Full attention of <paramref name="batch"/> blocks of rows of f16 or bf16.</summary>
    public void Vision(in VisionAttentionArguments a, Element element, int batch)
    {
        int width = Width(a.HeadDim);
        (element == Element.BF16 ? _visionBF16 : _vision)[Index(width)].Launch(CeilDiv(a.Rows, QueryRows), a.Heads, batch, Threads, TileBytes(width), a);
    }

    /// <summary>Causal attention, a block for each 64 rows of a group of heads.</summary>
    public void Prefill(in PrefillAttentionArguments a, KvFormat format)
    {
        int width = Width(a.HeadDim, format), group = a.Heads / a.KvHeads;
        Kernel<PrefillAttentionArguments> kernel = format == KvFormat.Int8 ? _prefillInt8[Index(width) - 1] : _prefill[Index(width)];
        kernel.Launch(CeilDiv(checked(a.Rows * group), QueryRows), a.KvHeads, 1, Threads, TileBytes(width, format), a);
    }

    /// <summary>
    /// Parts into which <see cref="Decode"/> splits sequences of at most <paramref name="positions"/> positions: as many as the device has room for, at least a
    /// page each. A block of width 128 has 64 KB of keys and values under way, which is all that a multiprocessor needs; narrower ones less, as those of int8.
    /// </summary>
    public int Splits(int positions, int rows, int heads, KvCacheShape cache, int batch)
    {
        int pages = CeilDiv(positions, CudaKvCache.PagePositions), blocks = cache.KvHeads * CeilDiv(rows * (heads / cache.KvHeads), DecodeRows) * batch;
        int blocksAtOnce = MaxHeadDim / Width(cache.HeadDim, cache.Format) * (cache.Format == KvFormat.Int8 ? 2 : 1);
        int wanted = CeilDiv(_multiprocessors * blocksAtOnce, blocks);
        int splits = Math.Clamp(wanted, 1, Math.Min(pages, MaxSplits));
        return CeilDiv(pages, CeilDiv(pages, splits));
    }

    /// <summary>Bytes of partial results, outputs before maxima and sums; 0 for one split.</summary>
    public static long PartialBytes(int splits, int rows, int heads, int headDim, int batch) =>
        splits == 1 ? 0 : sizeof(float) * (long)batch * rows * heads * splits * (headDim + 2);

    /// <summary>Ints of a.Arrived, zeros between launches, for more than one split.</summary>
    public static int Counters(int rows, int heads, int kvHeads, int batch) => batch * kvHeads * CeilDiv(rows * (heads / kvHeads), DecodeRows);

    /// <summary>Causal attention of the last rows of <paramref name="batch"/> sequences; partial results lie at <paramref name="partial"/>.</summary>
    public void Decode(DecodeAttentionArguments a, KvFormat format, int batch, int splits, ulong partial)
    {
        int width = Width(a.HeadDim, format), group = a.Heads / a.KvHeads;
        a.PartialOutput = partial;
        a.PartialSoftmax = partial + (ulong)((long)sizeof(float) * batch * a.Rows * a.Heads * splits * a.HeadDim);
        Kernel<DecodeAttentionArguments> kernel = format == KvFormat.Int8 ? _decodeInt8[Index(width) - 1] : _decode[Index(width)];
        kernel.Launch(splits, a.KvHeads * CeilDiv(a.Rows * group, DecodeRows), batch, Threads, DecodeBytes(width, format), a);
    }

    /// <summary>Rotation and cache write of <paramref name="batch"/> sequences of a.Rows rows each.</summary>
    public void Rope(RopeAndCacheArguments a, Element element, KvFormat format, int batch)
    {
        // Lanes of a head: it lies in one warp.
        int half = a.HeadDim / 2, work = half % 4 == 0 ? half / 4 : half;
        a.Lanes = Math.Min(32, (int)BitOperations.RoundUpToPowerOf2((uint)work));
        int threads = (a.Heads + 2 * a.KvHeads) * a.Lanes;
        (format == KvFormat.Int8 ? _ropeInt8 : _rope)[(int)element].Launch(batch * a.Rows, CeilDiv(threads, RopeThreads), 1, RopeThreads, 0, a);
    }

    // Width of the instance for a head.
    private static int Width(int headDim, KvFormat format = KvFormat.F16) =>
        Math.Max(format == KvFormat.Int8 ? 32 : 16, (int)BitOperations.RoundUpToPowerOf2((uint)headDim));

    private static int Index(int width) => BitOperations.Log2((uint)width) - 4;

    // Two stages of a tile of keys and one of values, 64 positions of them or 32 of width 128.
    private static int TileBytes(int width, KvFormat format = KvFormat.F16) => 2 * StageBytes(width, width == 128 ? 32 : 64, format);

    // Two stages of 16 positions for each warp; afterwards outputs of 16 rows of each warp, their maxima and sums.
    private static int DecodeBytes(int width, KvFormat format = KvFormat.F16) =>
        4 * Math.Max(2 * StageBytes(width, DecodeRows, format), DecodeRows * (width + (format == KvFormat.Int8 ? 18 : 10)) * sizeof(float));

    private static int StageBytes(int width, int positions, KvFormat format) =>
        2 * positions * (format == KvFormat.Int8 ? width + sizeof(float) : width * sizeof(ushort));

    private static int CeilDiv(int a, int b) => (int)(((long)a + b - 1) / b);
}
