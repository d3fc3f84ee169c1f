namespace LlavaSp.Backends.Cuda;

/// <summary>Launches of kernels/patch_embedding.cu.</summary>
internal sealed class PatchKernels
{
    private const int Threads = 512, RowsOfBlock = 8, LookupBytes = 3 * 256 * sizeof(float);

    private readonly CudaDevice _device;
    private readonly Kernel<Arguments>[] _embed;

    public PatchKernels(CudaDevice device, CudaModule module)
    {
        _device = device;
        _embed = CudaWeight.EachLayout(layout => module.Find<Arguments>($"patch_embedding_{layout}", device.MaxSharedBytes), bf16: true);
    }

    /// <summary>Whether the patches of a block fit its shared memory.</summary>
    public bool Fits(CudaWeight patches) => PatchBytes(patches) <= _device.MaxSharedBytes;

    /// <summary>y [tiles * (n + 1), d]: patches times weights, class tokens, positions, LayerNorm.</summary>
    /// <param name="y">Destination.</param>
    /// <param name="pixels">[tiles, 3, size, size] bytes on the device.</param>
    /// <param name="lookup">[3, 256] float32 on the device.</param>
    /// <param name="tiles">Tiles.</param>
    /// <param name="size">Edge of a tile in pixels.</param>
    /// <param name="weights">Weights; vectors are float32.</param>
    /// <returns>False if a row was too long for shared memory: y is then without its LayerNorm.</returns>
    public bool Embed(CudaTensor y, ulong pixels, ulong lookup, int tiles, int size, PatchEmbeddingWeights weights)
    {
        var patches = (CudaWeight)weights.Patches;
        var positions = (CudaTensor)weights.Positions;
        int shared = PatchBytes(patches), sums = RowsOfBlock * sizeof(float) * ((y.Columns + 15) / 16 * 16 + 4);
        bool normalised = shared + sums <= _device.MaxSharedBytes;
        _embed[patches.Layout].Launch((y.Rows + RowsOfBlock - 1) / RowsOfBlock, 1, 1, Threads, shared + (normalised ? sums : 0), new Arguments(
            y.Address, pixels, lookup, patches.Packed, patches.Scales, ((CudaTensor)weights.ClassToken).Address, positions.Address,
            ((CudaTensor)weights.NormWeight).Address, ((CudaTensor)weights.NormBias).Address, (int)y.Element, y.Stride, patches.GroupSize, positions.Stride,
            weights.NormEpsilon, tiles, size, weights.PatchSize, y.Columns, normalised ? 1 : 0));
        return normalised;
    }

    private static int PatchBytes(CudaWeight patches) => (RowsOfBlock * (patches.ColumnTiles / 4 * 128 + 16)) + LookupBytes;

    private readonly record struct Arguments(
        ulong Y, ulong Pixels, ulong Lookup, ulong Packed, ulong Scales, ulong ClassToken, ulong Positions, ulong NormWeight, ulong NormBias, int Element,
        int Ld, int Group, int PositionsLd, float Epsilon, int Tiles, int Size, int Patch, int D, int Normalised);
}
