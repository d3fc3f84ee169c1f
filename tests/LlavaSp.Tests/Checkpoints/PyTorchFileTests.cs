using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using LlavaSp.Checkpoints;

namespace LlavaSp.Tests.Checkpoints;

/// <summary>Files that torch.save itself has written: tests/data/torch/README.md says how.</summary>
public sealed class PyTorchFileTests
{
    [Theory]
    [InlineData("mixed.bin")]
    [InlineData("mixed-protocol4.bin")]
    [InlineData("mixed-protocol5.bin")]
    public void Reads_every_type(string name)
    {
        using PyTorchFile file = PyTorchFile.Open(Sample(name));
        Assert.Equal(["f32", "f16", "bf16", "f64", "i8", "u8", "i16", "i32", "i64", "bool", "scalar", "empty"], file.Tensors.Keys);
        Assert.All(file.Tensors.Values.SkipLast(2), tensor => Assert.Equal([2L, 3], tensor.Shape));
        foreach (string type in new[] { "f32", "f16", "bf16", "f64", "i8", "u8", "i16", "i32", "i64" })
        {
            Assert.Equal(Enum.Parse<DType>(type.ToUpperInvariant()), file.Tensors[type].DType);
            Assert.Equal([0, 1, 2, 3, 4, 5], Values(file, type));
        }
        Assert.Equal([0, 1, 0, 1, 0, 1], Values(file, "bool"));
        Assert.Equal(DType.Bool, file.Tensors["bool"].DType);
        Assert.Empty(file.Tensors["scalar"].Shape);
        Assert.Equal([7], Values(file, "scalar"));
        Assert.Equal([0L, 3], file.Tensors["empty"].Shape);
        Assert.Equal(0, file.GetBytes("empty").Length);
    }

    [Fact]
    public void Views_are_read_row_major()
    {
        using PyTorchFile file = PyTorchFile.Open(Sample("views.bin"));
        double[] Count(params int[] values) => [.. values.Select(value => (double)value)];
        Assert.Equal([4L, 6], file.Tensors["base"].Shape);
        Assert.Equal(Count([.. Enumerable.Range(0, 24)]), Values(file, "base"));
        Assert.Equal([6L, 4], file.Tensors["transposed"].Shape);
        Assert.Equal(Count([.. Enumerable.Range(0, 24).Select(i => i % 4 * 6 + i / 4)]), Values(file, "transposed"));
        Assert.Equal(Count([.. Enumerable.Range(6, 12)]), Values(file, "rows"));
        Assert.Equal(Count(2, 8, 14, 20), Values(file, "column"));
        Assert.Equal(Count(1, 3, 5, 13, 15, 17), Values(file, "every_other"));
        Assert.Equal([2L, 2, 6], file.Tensors["permuted"].Shape.Order());
        // permute(2, 0, 1) of [2, 2, 6]: element [k, i, j] is 12 i + 6 j + k
        Assert.Equal(Count([.. Enumerable.Range(0, 24).Select(i => i / 2 % 2 * 12 + i % 2 * 6 + i / 4)]), Values(file, "permuted"));
    }

    [Fact]
    public void A_copied_view_is_kept_until_it_is_evicted()
    {
        using PyTorchFile file = PyTorchFile.Open(Sample("views.bin"));
        ReadOnlySpan<byte> first = file.GetBytes("transposed");
        Assert.True(Unsafe.AreSame(in first[0], in file.GetBytes("transposed")[0]));
        file.Evict("transposed");
        ReadOnlySpan<byte> second = file.GetBytes("transposed");
        Assert.False(Unsafe.AreSame(in first[0], in second[0]));
        Assert.True(first.SequenceEqual(second));
    }

    [Fact]
    public void Unwraps_a_state_dict_and_ignores_what_is_no_tensor()
    {
        using PyTorchFile file = PyTorchFile.Open(Sample("state_dict.bin"));
        Assert.Equal(["weight", "bias"], file.Tensors.Keys);
        Assert.Equal([0, 1, 2, 3, 4, 5], Values(file, "weight"));
        Assert.Equal([0, 1], Values(file, "bias"));
    }

    [Fact]
    public void Reads_parameters()
    {
        using PyTorchFile file = PyTorchFile.Open(Sample("parameters.bin"));
        Assert.Equal(["weight", "bias"], file.Tensors.Keys);
        Assert.Equal([2L, 3], file.Tensors["weight"].Shape);
        Assert.Equal([0, 1, 2, 3, 4, 5], Values(file, "weight"));
    }

    [Theory]
    [InlineData("expanded.bin", "'expanded' [1000, 1000]", "expanded view")]
    [InlineData("legacy.bin", "before PyTorch 1.6", "torch.save(torch.load(")]
    [InlineData("namespace.bin", "'argparse.Namespace'", "nothing was executed")]
    public void Refuses_with_a_reason(string name, params string[] parts) =>
        CheckpointFiles.Refuses(() => PyTorchFile.Open(Sample(name)).Dispose(), [name, .. parts]);

    [Fact]
    public void Throws_after_disposal()
    {
        PyTorchFile file = PyTorchFile.Open(Sample("views.bin"));
        Assert.NotEqual(0, file.GetBytes("transposed").Length);
        file.Dispose();
        file.Dispose();
        foreach (string name in new[] { "base", "transposed" }) Assert.Throws<ObjectDisposedException>(() => file.GetBytes(name).Length);
        Assert.Throws<ObjectDisposedException>(() => file.Evict("base"));
    }

    [Fact]
    public void An_unknown_name_is_named()
    {
        using PyTorchFile file = PyTorchFile.Open(Sample("views.bin"));
        CheckpointFiles.Refuses(() => file.GetBytes("other"), "views.bin", "'other'");
        CheckpointFiles.Refuses(() => file.Evict("other"), "'other'");
    }

    internal static string Sample(string name, [CallerFilePath] string source = "") =>
        Path.Combine(Path.GetDirectoryName(source)!, "..", "..", "data", "torch", name);

    private static double[] Values(PyTorchFile file, string name)
    {
        ReadOnlySpan<byte> bytes = file.GetBytes(name);
        return file.Tensors[name].DType switch
        {
            DType.F32 => Convert<float>(bytes),
            DType.F16 => Convert<Half>(bytes),
            DType.BF16 => [.. MemoryMarshal.Cast<byte, ushort>(bytes).ToArray().Select(bits => (double)BitConverter.UInt32BitsToSingle((uint)bits << 16))],
            DType.F64 => Convert<double>(bytes),
            DType.I8 => Convert<sbyte>(bytes),
            DType.I16 => Convert<short>(bytes),
            DType.I32 => Convert<int>(bytes),
            DType.I64 => Convert<long>(bytes),
            _ => Convert<byte>(bytes),
        };

        static double[] Convert<T>(ReadOnlySpan<byte> bytes) where T : struct, INumber<T> =>
            [.. MemoryMarshal.Cast<byte, T>(bytes).ToArray().Select(value => double.CreateChecked(value))];
    }
}
