using LlavaSp.Backends.Cuda;
using LlavaSp.Quantization;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>The choice of the form of a matrix product, for the shapes of the 7B model.</summary>
public sealed class LinearPlanTests
{
    [Theory]
    [InlineData(1, 4096, 128, false, "gemv_int4")]
    [InlineData(1, 12288, 128, false, "gemv2_int4")]
    [InlineData(1, 11008, 128, true, "gemv2_int4")]
    [InlineData(2, 1024, 16, false, "gemv_int4")]
    [InlineData(8, 4096, 16, false, "gemv2_int4")]
    [InlineData(3, 4096, 128, false, "gemv2_int4")]
    [InlineData(9, 4096, 128, false, "gemv16_int4")]
    [InlineData(17, 4096, 128, false, "gemv32_int4")]
    [InlineData(32, 4096, 128, false, "gemv32_int4")]
    [InlineData(33, 4096, 128, false, "gemm_int4_32x64")]
    [InlineData(64, 11008, 128, false, "gemm_int4_128x64")]
    [InlineData(64, 8192, 128, false, "gemm_int4_64x64")]
    [InlineData(640, 4096, 128, false, "gemm_int4_128x64")]
    [InlineData(640, 4096, 16, false, "gemm_int4_128x128")]
    [InlineData(640, 11008, 128, true, "gemm_int4_128x128")]
    public void FormsFollowTheShape(int m, int n, int multiprocessors, bool gated, string kernel) =>
        Assert.Equal(kernel, LinearPlan.Choose(m, n, multiprocessors, false, gated).KernelName(WeightKind.Int4, 64, false));

    [Fact]
    public void BytesOfTheIntegerTensorCoresHaveTheirOwnKernels()
    {
        Assert.Equal("gemm_int8_int8", LinearPlan.Choose(33, 4096, 128, true, false).KernelName(WeightKind.Int8, 64, true));
        Assert.Equal("gemm_int8_int8_group32", LinearPlan.Choose(640, 4096, 128, true, true).KernelName(WeightKind.Int8, 32, true));
        Assert.Equal("gemv_int8mma", LinearPlan.Choose(1, 4096, 128, true, false).KernelName(WeightKind.Int8, 64, true));
        Assert.Equal("gemv_int8", LinearPlan.Choose(1, 4096, 128, false, false).KernelName(WeightKind.Int8, 64, false));
        Assert.Throws<ArgumentException>(() => LinearPlan.Forms[0].KernelName(WeightKind.F32, 0, false));
        Assert.Equal("gemv_bf16", LinearPlan.Forms[0].KernelName(WeightKind.BF16, 0, false));
    }

    [Fact]
    public void BlocksCoverTheResultAndFitTheDevice()
    {
        foreach (LinearForm form in LinearPlan.Forms)
        {
            foreach (WeightKind kind in new[] { WeightKind.F16, WeightKind.BF16, WeightKind.Int8, WeightKind.Int4 })
            {
                foreach ((int m, int n, int k) in new[] { (1, 1, 1), (8, 4096, 4096), (3, 33, 11008), (5, 100, 20000) })
                {
                    (int x, int y) = LinearPlan.Grid(form, m, n, gated: false);
                    Assert.InRange((long)x * y * form.Outputs, n, n + form.Outputs - 1);
                    // 48 KB is what every device gives without being asked, and lets two blocks share an SM of 100 KB.
                    Assert.InRange(LinearPlan.SharedBytes(form, kind, m, k), 1, 48 << 10);
                    Assert.InRange(LinearPlan.SharedBytes(form, kind, m, k), 1, LinearPlan.MaxSharedBytes(form, kind));
                }
            }
        }
    }
}
