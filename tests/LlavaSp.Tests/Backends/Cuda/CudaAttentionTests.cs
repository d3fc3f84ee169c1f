using System.Runtime.InteropServices;
using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Backends.Cuda.Driver;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>Attention of the CUDA backend against the reference on the same numbers.</summary>
public sealed class CudaAttentionTests
{
    // Every head width: of the instances, between them, and where rows are not 16-byte aligned.
    private static readonly int[] HeadDims = [8, 14, 16, 32, 64, 80, 128];

    public static TheoryData<int, bool> HeadsAndElements() => [.. from headDim in HeadDims from bf16 in new[] { false, true } select (headDim, bf16)];

    public static TheoryData<int, KvFormat> HeadsAndFormats() =>
        [.. from headDim in HeadDims from format in new[] { KvFormat.F16, KvFormat.Int8 } select (headDim, format)];

    [Theory]
    [MemberData(nameof(HeadsAndElements))]
    public void Full_attention_is_the_reference_s(int headDim, bool bf16)
    {
        using AttentionPair pair = new(bf16 ? Element.BF16 : Element.F16);
        foreach ((int n, int heads, int batch) in new[] { (1, 1, 1), (15, 3, 2), (16, 4, 1), (17, 2, 3), (63, 3, 1), (65, 1, 2), (200, 1, 1) })
            pair.CheckFull(headDim, n, heads, batch, Precision.Operand);
        pair.CheckFull(headDim, 33, 3, 1, Precision.Full);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Full_attention_of_the_vision_tower_s_size_is_the_reference_s(bool bf16)
    {
        using AttentionPair pair = new(bf16 ? Element.BF16 : Element.F16);
        pair.CheckFull(headDim: 64, n: 577, heads: 2, batch: 1, Precision.Operand);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Heads_of_an_odd_width_are_the_reference_s(bool bf16)
    {
        using AttentionPair pair = new(bf16 ? Element.BF16 : Element.F16);
        pair.CheckFull(headDim: 7, n: 20, heads: 3, batch: 2, Precision.Operand);
        pair.CheckFull(headDim: 33, n: 20, heads: 3, batch: 1, Precision.Full);
    }

    [Theory]
    [MemberData(nameof(HeadsAndFormats))]
    public void Prefill_is_the_reference_s(int headDim, KvFormat format)
    {
        using AttentionPair pair = new(), bf16 = new(Element.BF16);
        foreach ((int heads, int kvHeads, int rows, int first) in new[]
        {
            (1, 1, 65, 0), (1, 1, 33, 1), (4, 4, 40, 63), (6, 3, 17, 64), (6, 3, 130, 0), (8, 1, 17, 65), (8, 1, 16, 200), (32, 8, 9, 5),
        })
        {
            Assert.False(AttentionKernels.IsDecode(rows, heads / kvHeads));
            pair.CheckCausal(headDim, heads, kvHeads, rows, first, Precision.Operand, format);
        }

        pair.CheckCausal(headDim, 4, 2, 40, 3, Precision.Full, format);
        bf16.CheckCausal(headDim, 4, 2, 40, 3, Precision.Operand, format);
    }

    [Theory]
    [MemberData(nameof(HeadsAndFormats))]
    public void Decode_is_the_reference_s(int headDim, KvFormat format)
    {
        using AttentionPair pair = new(), bf16 = new(Element.BF16);
        foreach ((int heads, int kvHeads, int rows, int first) in new[]
        {
            (1, 1, 1, 0), (1, 1, 1, 63), (4, 4, 1, 64), (6, 3, 2, 1), (8, 1, 1, 200), (8, 1, 4, 65), (32, 8, 3, 63), (1, 1, 5, 200), (4, 4, 8, 60),
            (6, 3, 7, 127), (1, 1, 16, 1), (8, 1, 2, 15),
        })
        {
            Assert.True(AttentionKernels.IsDecode(rows, heads / kvHeads));
            pair.CheckCausal(headDim, heads, kvHeads, rows, first, Precision.Operand, format);
        }

        pair.CheckCausal(headDim, 4, 2, 1, 100, Precision.Full, format);
        // One split, and several.
        bf16.CheckCausal(headDim, 4, 2, 1, 40, Precision.Operand, format);
        bf16.CheckCausal(headDim, 4, 2, 1, 300, Precision.Operand, format);
    }

    [Theory]
    [InlineData(KvFormat.F16)]
    [InlineData(KvFormat.Int8)]
    public void A_step_of_the_7B_decoder_is_the_reference_s(KvFormat format)
    {
        using AttentionPair pair = new();
        pair.CheckCausal(headDim: 128, heads: 32, kvHeads: 32, rows: 1, first: 1023, Precision.Operand, format);
    }

    [Theory]
    [InlineData(64, 4f)]
    [InlineData(64, 256f)]
    [InlineData(128, 4096f)]
    [InlineData(14, 256f)]
    public void Scores_of_any_size_give_finite_weights(int headDim, float scale)
    {
        // Small integers times a power of two: the products are exact, so that equal scores stay equal and others are far apart.
        float[] whole = [.. CpuTesting.Random(130 * 3 * headDim, 9).Select(x => scale * MathF.Round(x * 2))];
        foreach (Element element in new[] { Element.F16, Element.BF16 })
        {
            using AttentionPair pair = new(element);
            AttentionPair.Near(
                pair.Full(pair.Reference, whole, headDim, 130, 1, 1, Precision.Full), pair.Full(pair.Cuda, whole, headDim, 130, 1, 1, Precision.Full),
                AttentionPair.Coarse(element), $"scores of {scale}");
        }
    }

    [Fact]
    public void NaN_stays_in_the_row_that_has_it()
    {
        const int N = 70, HeadDim = 16;
        using AttentionPair pair = new();
        float[] qkv = AttentionPair.Halves(N * 3 * HeadDim, 5);
        qkv[3 * 3 * HeadDim] = float.NaN;
        float[] output = pair.Full(pair.Cuda, qkv, HeadDim, N, 1, 1, Precision.Full);
        for (int row = 0; row < N; row++) Assert.All(output[(row * HeadDim)..((row + 1) * HeadDim)], value => Assert.Equal(row == 3, float.IsNaN(value)));
    }

    /// <summary>The same bits in every run, in whatever order blocks, warps and lanes run; no two threads meet in shared memory.</summary>
    [Fact]
    public unsafe void The_same_call_gives_the_same_bits_in_any_order()
    {
        using AttentionPair pair = new(), bf16 = new(Element.BF16);
        Assert.SkipUnless(pair.Cuda.Info.Device == "cuda-emulator", "the order can be chosen on the emulator only");
        nint library = NativeLibrary.Load(CudaLibrary.Open(emulator: true).Path);
        var setOrder = (delegate* unmanaged<int, uint, void>)NativeLibrary.GetExport(library, "lspEmulatorSetOrder");
        var setRaceCheck = (delegate* unmanaged<int, void>)NativeLibrary.GetExport(library, "lspEmulatorSetRaceCheck");
        float[][]? first = null;
        try
        {
            setRaceCheck(1);
            foreach ((int order, uint seed) in new[] { (0, 0u), (0, 0u), (1, 0u), (2, 1u), (2, 2u) })
            {
                setOrder(order, seed);
                float[] qkv = bf16.Random(70 * 3 * 2 * 64, 5);
                float[][] results =
                [
                    pair.CheckCausal(64, 8, 1, 4, 300, Precision.Full, KvFormat.F16), pair.CheckCausal(64, 8, 1, 4, 300, Precision.Full, KvFormat.Int8),
                    pair.CheckCausal(80, 4, 2, 40, 30, Precision.Full, KvFormat.Int8), pair.CheckCausal(14, 2, 1, 20, 0, Precision.Full, KvFormat.Int8),
                    bf16.Full(bf16.Cuda, qkv, 64, 70, 2, 1, Precision.Full),
                ];
                first ??= results;
                for (int i = 0; i < results.Length; i++) Assert.Equal(Bits(first[i]), Bits(results[i]));
            }
        }
        finally
        {
            setOrder(0, 0);
            setRaceCheck(0);
        }

        static int[] Bits(float[] values) => Array.ConvertAll(values, BitConverter.SingleToInt32Bits);
    }

    [Fact]
    public void Wrong_shapes_are_refused_before_the_device_sees_them()
    {
        using AttentionPair pair = new();
        CudaBackend cuda = pair.Cuda;
        using Tensor qkv = cuda.CreateTensor(4, 96, Precision.Operand), full = cuda.CreateTensor(4, 96), y = cuda.CreateTensor(4, 32, Precision.Operand);
        using KvCache cache = cuda.CreateKvCache(new KvCacheShape(1, 2, 16, 64, KvFormat.F16));
        Assert.Throws<ArgumentException>(() => cuda.FullAttention(y, qkv, 3, 2));
        Assert.Throws<ArgumentException>(() => cuda.FullAttention(y, full, 1, 2));
        Assert.Throws<ArgumentException>(() => cuda.CausalAttention(y, y, cache, 0, 0));
        Assert.Throws<ArgumentException>(() => cuda.CausalAttention(y, y, cache, 1, 0));
        Assert.Throws<ArgumentException>(() => cuda.CreateKvCache(new KvCacheShape(1, 2, 16, 64, KvFormat.F32)));
        Assert.Throws<ArgumentException>(() => cuda.CreateKvCache(new KvCacheShape(1, 2, 256, 64, KvFormat.F16)));
    }
}
