using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;
using LlavaSp.Cli.Bench.Kernels;
using LlavaSp.Tests.Checkpoints;

namespace LlavaSp.Tests.Bench;

/// <summary>tests/native/cublas/stub.c, compiled once: a cuBLAS that tells what it was asked for.</summary>
internal static unsafe class CublasStub
{
    private static readonly Lazy<string> Built = new(Build);

    /// <summary>Its file; skips the test where there is no C compiler.</summary>
    public static string File
    {
        get
        {
            try
            {
                return Built.Value;
            }
            catch (Win32Exception)
            {
                Assert.Skip("there is no C compiler (cc) that builds the stub of cuBLAS");
                throw;
            }
        }
    }

    /// <summary>The library.</summary>
    public static CublasLibrary Load()
    {
        Assert.True(CublasLibrary.TryLoad(File, out CublasLibrary? library, out string problem), problem);
        return library;
    }

    /// <summary>What it notes, and how it behaves: one for all tests of a collection.</summary>
    public static ref State Noted
    {
        get
        {
            nint library = NativeLibrary.Load(File);
            return ref *((delegate* unmanaged<State*>)NativeLibrary.GetExport(library, "stub_state"))();
        }
    }

    private static string Build()
    {
        var folder = new TemporaryFolder();
        AppDomain.CurrentDomain.ProcessExit += (_, _) => folder.Dispose();
        string library = folder["libcublas-stub.so"], source = Path.GetFullPath(Path.Combine(Goldens.Root, "..", "native", "cublas", "stub.c"));
        var start = new ProcessStartInfo("cc", ["-std=c11", "-O1", "-shared", "-fPIC", "-o", library, source]) { RedirectStandardError = true };
        using Process compiler = Process.Start(start)!;
        string messages = compiler.StandardError.ReadToEnd();
        compiler.WaitForExit();
        Assert.True(compiler.ExitCode == 0, messages);
        return library;
    }

    /// <summary>struct Stub.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct State
    {
        public int CreateStatus;
        public int Computes;
        public int TransposeA;
        public int TransposeB;
        public int M;
        public int N;
        public int K;
        public int TypeA;
        public int Lda;
        public int TypeB;
        public int Ldb;
        public int TypeC;
        public int Ldc;
        public int Compute;
        public int Algorithm;
        public float Alpha;
        public float Beta;
        public int Products;
        public int Opened;
        public int Closed;
        public nint Stream;
    }
}
