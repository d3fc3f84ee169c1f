using LlavaSp.Backends;
using LlavaSp.Checkpoints;

namespace LlavaSp.Tests.Checkpoints;

public sealed class SpatialConfigTests
{
    private const int Grid = 24, Channels = 8;

    [Fact]
    public void TheVariantIsReadFromTheTensors()
    {
        SpatialConfig none = Detect(("mm_projector.0.weight", [4, 4]));
        Assert.Equal((null, 0, "none"), (none.Mode, none.Tokens, none.Variant));

        SpatialConfig pooling = Detect(("conv_4.1.weight", [16, 8, 4, 4]), ("conv_24.weight", [16, 8, 24, 24]), ("conv_12.1.weight", [16, 8, 12, 12]));
        Assert.Equal((SpatialMode.Pooling, 16, 0, "pooling"), (pooling.Mode, pooling.Width, pooling.FusionKernelSize, pooling.Variant));
        Assert.Equal([4, 12, 24], pooling.KernelSizes);

        SpatialConfig cropping = Detect(("conv_CM.weight", [16, 8, 10, 10]), ("conv_8.weight", [16, 8, 8, 8]), ("conv_4.weight", [16, 8, 4, 4]));
        Assert.Equal((SpatialMode.Cropping, 16, 10, "cropping"), (cropping.Mode, cropping.Width, cropping.FusionKernelSize, cropping.Variant));
        Assert.Equal([4, 8], cropping.KernelSizes);

        // Stored flat as integers: the kernel's size follows from the columns, half as many in int4.
        Assert.Equal(10, Detect(DType.I8, ("conv_CM.weight", [16, 800]), ("conv_8.weight", [16, 512])).FusionKernelSize);
        Assert.Equal(10, Detect(DType.U8, ("conv_CM.weight", [16, 400]), ("conv_8.weight", [16, 256])).FusionKernelSize);
    }

    [Fact]
    public void WhatFormsNoVariantIsRefused()
    {
        Refused("incomplete", ("conv_CM.weight", [16, 8, 16, 16]));
        Refused("needs conv_CM.weight", ("conv_4.weight", [16, 8, 4, 4]));
        Refused("needs conv_CM.weight", ("conv_4.1.weight", [16, 8, 4, 4]), ("conv_8.weight", [16, 8, 8, 8]));
        Refused("beside conv_CM.weight", ("conv_CM.weight", [16, 8, 16, 16]), ("conv_4.1.weight", [16, 8, 4, 4]));
        Refused("two convolutions of size 4", ("conv_4.weight", [16, 8, 4, 4]), ("conv_4.1.weight", [16, 8, 4, 4]));
        Refused("does not fit the grid of 24", ("conv_25.1.weight", [16, 8, 25, 25]));
        Refused("does not fit the grid of 24", ("conv_9999.1.weight", [16, 8, 25, 25]));
        Refused("does not fit the grid of 24", ("conv_0.1.weight", [16, 8, 1, 1]));
        Refused("no centre crop of 5", ("conv_CM.weight", [16, 8, 16, 16]), ("conv_5.weight", [16, 8, 5, 5]));
        Refused("does not fit the grid of 24", ("conv_CM.weight", [16, 8, 25, 25]), ("conv_4.weight", [16, 8, 4, 4]));
        Refused("does not fit the grid of 24", ("conv_CM.weight", [16, 8, 0, 0]), ("conv_4.weight", [16, 8, 4, 4]));
        Refused("does not fit the grid of 24", ("conv_CM.weight", [16, 8, 16, long.MaxValue]), ("conv_4.weight", [16, 8, 4, 4]));
        Refused("not a convolution", ("conv_4.1.weight", []));
        Refused("not a convolution", ("conv_4.1.weight", [16]));
        Refused("not a convolution", ("conv_4.1.weight", [1L << 40, 0]));
        Refused("not a convolution", ("conv_4.1.weight", [0, 8, 4, 4]));
        Refused("not a convolution", ("conv_CM.weight", []), ("conv_4.weight", [16, 8, 4, 4]));
    }

    private static void Refused(string part, params (string Name, long[] Shape)[] tensors) => CheckpointFiles.Refuses(() => Detect(tensors), part);

    private static SpatialConfig Detect(params (string Name, long[] Shape)[] tensors) => Detect(DType.F32, tensors);

    private static SpatialConfig Detect(DType dtype, params (string Name, long[] Shape)[] tensors)
    {
        using var catalog = new TensorCatalog();
        catalog.Add(new Names(dtype, tensors), "folder", static _ => true);
        return SpatialConfig.Detect(catalog, Grid, Channels);
    }

    private sealed class Names(DType dtype, (string Name, long[] Shape)[] tensors) : ITensorSource
    {
        public IReadOnlyDictionary<string, TensorInfo> Tensors { get; } = tensors.ToDictionary(
            tensor => tensor.Name, tensor => new TensorInfo(tensor.Name, dtype, tensor.Shape));

        public ReadOnlySpan<byte> GetBytes(string name) => throw new InvalidOperationException("only names and shapes are to be read");

        public void Evict(string name) { }

        public void Dispose() { }
    }
}
