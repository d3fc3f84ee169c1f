using LlavaSp.Cli.Bench.Kernels;
using LlavaSp.Tests.Checkpoints;

namespace LlavaSp.Tests.Bench;

/// <summary>The binding of cuBLAS, against a library that notes the calls.</summary>
[Collection(nameof(CublasStub))]
public sealed unsafe class CublasTests
{
    [Theory]
    [InlineData(1, 5, 7)]
    [InlineData(4, 3, 8)]
    [InlineData(9, 16, 2)]
    public void AProductOfRowsIsAskedForInColumns(int m, int n, int k)
    {
        CublasLibrary library = CublasStub.Load();
        ref CublasStub.State noted = ref CublasStub.Noted;
        noted.Computes = 1;
        var random = new Random(m);
        Half[] x = Random(m * k), w = Random(n * k), y = new Half[m * n];
        int opened = noted.Opened, closed = noted.Closed;
        using (Cublas cublas = library.Open(stream: 77))
        {
            Assert.Equal((opened + 1, 77), (noted.Opened, (int)noted.Stream));
            fixed (Half* px = x, pw = w, py = y) cublas.Product(m, n, k, (ulong)px, (ulong)pw, (ulong)py);
        }

        Assert.Equal(closed + 1, noted.Closed);
        // CUBLAS_OP_T, CUBLAS_OP_N; CUDA_R_16F; CUBLAS_COMPUTE_32F; CUBLAS_GEMM_DEFAULT.
        Assert.Equal((1, 0, n, m, k), (noted.TransposeA, noted.TransposeB, noted.M, noted.N, noted.K));
        Assert.Equal((2, 2, 2, 68, -1), (noted.TypeA, noted.TypeB, noted.TypeC, noted.Compute, noted.Algorithm));
        Assert.Equal((k, k, n), (noted.Lda, noted.Ldb, noted.Ldc));
        Assert.Equal((1f, 0f), (noted.Alpha, noted.Beta));
        for (int row = 0; row < m; row++)
        {
            for (int column = 0; column < n; column++)
            {
                float expected = 0;
                for (int i = 0; i < k; i++) expected += (float)x[row * k + i] * (float)w[column * k + i];
                Assert.Equal((Half)expected, y[row * n + column]);
            }
        }

        // Small whole numbers: every sum is exact.
        Half[] Random(int count) => [.. Enumerable.Range(0, count).Select(_ => (Half)random.Next(-8, 9))];
    }

    [Fact]
    public void ARefusalIsOneLineWithTheLibrarysOwnText()
    {
        CublasLibrary library = CublasStub.Load();
        ref CublasStub.State noted = ref CublasStub.Noted;
        noted.CreateStatus = 1;
        try
        {
            LlavaSpException thrown = Assert.Throws<LlavaSpException>(() => library.Open(0));
            Assert.Equal($"cublasCreate of {CublasStub.File} failed with status 1 (the library was not initialized)", thrown.Message);
        }
        finally
        {
            noted.CreateStatus = 0;
        }
    }

    [Fact]
    public void AMissingOrAnotherLibraryIsNamed()
    {
        using var folder = new TemporaryFolder();
        Assert.False(CublasLibrary.TryLoad(folder["libcublas.so.99"], out _, out string missing));
        Assert.Contains("not installed", missing, StringComparison.Ordinal);
        Assert.Contains("libcublas.so.99", missing, StringComparison.Ordinal);
        Assert.False(CublasLibrary.TryLoad("libc.so.6", out _, out string other));
        Assert.Contains("libc.so.6 is not a cuBLAS that is known here", other, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', other);
    }
}
