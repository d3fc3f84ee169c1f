using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace LlavaSp.Cli.Bench.Kernels;

/// <summary>
/// The few functions of cuBLAS that a yardstick for matrix products needs, from whichever version is installed (11 to 13). Names and rules are those of
/// NVIDIA's cuBLAS manual. Nothing but the benchmark loads it.
/// </summary>
internal sealed unsafe class CublasLibrary
{
    /// <summary>Environment variable with the library's file; no other place is looked at then.</summary>
    public const string FileVariable = "LLAVA_SP_CUBLAS";

    // CUDA_R_16F of cudaDataType, CUBLAS_COMPUTE_32F of cublasComputeType_t, CUBLAS_GEMM_DEFAULT of cublasGemmAlgo_t.
    private const int DataHalf = 2, ComputeFloat = 68, DefaultAlgorithm = -1;

    // Newest first.
    private static readonly int[] Versions = [13, 12, 11];

    private readonly delegate* unmanaged<nint*, int> _create;
    private readonly delegate* unmanaged<nint, int> _destroy;
    private readonly delegate* unmanaged<nint, nint, int> _setStream;
    private readonly delegate* unmanaged<nint, int, int, int, int, int, void*, ulong, int, int, ulong, int, int, void*, ulong, int, int, int, int, int> _gemm;
    private readonly delegate* unmanaged<int, byte*> _statusString;

    private CublasLibrary(nint library, string name)
    {
        Name = name;
        _create = (delegate* unmanaged<nint*, int>)NativeLibrary.GetExport(library, "cublasCreate_v2");
        _destroy = (delegate* unmanaged<nint, int>)NativeLibrary.GetExport(library, "cublasDestroy_v2");
        _setStream = (delegate* unmanaged<nint, nint, int>)NativeLibrary.GetExport(library, "cublasSetStream_v2");
        _gemm =
            (delegate* unmanaged<nint, int, int, int, int, int, void*, ulong, int, int, ulong, int, int, void*, ulong, int, int, int, int, int>)
            NativeLibrary.GetExport(library, "cublasGemmEx");
        // Since 11.4.
        if (NativeLibrary.TryGetExport(library, "cublasGetStatusString", out nint text)) _statusString = (delegate* unmanaged<int, byte*>)text;
    }

    /// <summary>The name under which it was found.</summary>
    public string Name { get; }

    /// <summary>Loads the library; a library stays loaded for the life of the process.</summary>
    /// <param name="library">The library.</param>
    /// <param name="problem">Why not, as one line.</param>
    public static bool TryLoad([NotNullWhen(true)] out CublasLibrary? library, out string problem) =>
        TryLoad(Environment.GetEnvironmentVariable(FileVariable), out library, out problem);

    /// <summary>As above, from one file; null or empty looks for what is installed.</summary>
    internal static bool TryLoad(string? given, [NotNullWhen(true)] out CublasLibrary? library, out string problem)
    {
        library = null;
        problem = "";
        string[] names = string.IsNullOrEmpty(given)
            ? [.. Versions.Select(version => OperatingSystem.IsWindows() ? $"cublas64_{version}.dll" : $"libcublas.so.{version}")]
            : [given];
        foreach (string name in names)
        {
            if (!NativeLibrary.TryLoad(name, out nint handle)) continue;
            try
            {
                library = new CublasLibrary(handle, name);
                return true;
            }
            catch (EntryPointNotFoundException e)
            {
                problem = $"{name} is not a cuBLAS that is known here: {e.Message.ReplaceLineEndings(" ")}";
            }
        }

        if (problem.Length == 0) problem = $"not installed (looked for {string.Join(", ", names)})";
        return false;
    }

    /// <summary>Opens it on the calling thread's device, for work on one stream.</summary>
    /// <exception cref="LlavaSpException">It refuses; the message says how.</exception>
    public Cublas Open(nint stream)
    {
        nint handle = 0;
        Check(_create(&handle), "cublasCreate");
        var cublas = new Cublas(this, handle);
        try
        {
            Check(_setStream(handle, stream), "cublasSetStream");
            return cublas;
        }
        catch
        {
            cublas.Dispose();
            throw;
        }
    }

    internal void Destroy(nint handle) => _ = _destroy(handle);

    internal void Gemm(
        nint handle, Transpose transposeA, Transpose transposeB, int m, int n, int k, ulong a, int lda, ulong b, int ldb, ulong c, int ldc)
    {
        float one = 1, zero = 0;
        Check(
            _gemm(
                handle, (int)transposeA, (int)transposeB, m, n, k, &one, a, DataHalf, lda, b, DataHalf, ldb, &zero, c, DataHalf, ldc, ComputeFloat,
                DefaultAlgorithm),
            "cublasGemmEx");
    }

    private void Check(int status, string call)
    {
        if (status == 0) return;
        string text = _statusString == null ? "" : Marshal.PtrToStringUTF8((nint)_statusString(status)) ?? "";
        throw new LlavaSpException($"{call} of {Name} failed with status {status}{(text.Length > 0 ? $" ({text})" : "")}".ReplaceLineEndings(" "));
    }

    /// <summary>cublasOperation_t.</summary>
    internal enum Transpose
    {
        No = 0,
        Yes = 1,
    }
}

/// <summary>cuBLAS on one stream.</summary>
internal sealed class Cublas : SafeHandle
{
    private readonly CublasLibrary _library;

    internal Cublas(CublasLibrary library, nint handle) : base(0, true)
    {
        _library = library;
        SetHandle(handle);
    }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>
    /// Queues y [m, n] = x [m, k] w [n, k]^T: halves, row after row without gaps, sums in float32. cuBLAS counts columns first, so that it sees k x n and k x m
    /// matrices and is asked for y^T = w x^T.
    /// </summary>
    /// <param name="m">Rows of x and y.</param>
    /// <param name="n">Rows of w, columns of y.</param>
    /// <param name="k">Columns of x and w.</param>
    /// <param name="x">Address.</param>
    /// <param name="w">Address.</param>
    /// <param name="y">Address.</param>
    /// <exception cref="LlavaSpException">It refuses; the message says how.</exception>
    public void Product(int m, int n, int k, ulong x, ulong w, ulong y) =>
        _library.Gemm(handle, CublasLibrary.Transpose.Yes, CublasLibrary.Transpose.No, n, m, k, w, k, x, k, y, n);

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        _library.Destroy(handle);
        return true;
    }
}
