using System.Runtime.InteropServices;

namespace LlavaSp.Peers.Llama;

/// <summary>Parameters of llama.cpp, larger than any version's: only the fields that every version begins with are touched, the rest goes back as it came.</summary>
[StructLayout(LayoutKind.Sequential, Size = 512)]
internal struct LlamaParameters
{
    public uint Context;
    public uint Batch;
    public uint MicroBatch;
}

/// <summary>Tokens to compute.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct LlamaBatch
{
    public int Count;
    public nint Tokens, Embeddings, Positions, SequenceCounts, Sequences, Outputs;
}

/// <summary>The functions of llama.cpp that a measurement needs.</summary>
internal static unsafe partial class LlamaNative
{
    private const string Llama = "llama", Ggml = "ggml", Base = "ggml-base", Mtmd = "mtmd";

    /// <summary>Where the libraries are; their names carry a version.</summary>
    public static void LoadFrom(string folder)
    {
        NativeLibrary.SetDllImportResolver(typeof(LlamaNative).Assembly, (name, _, _) => name is Llama or Ggml or Base or Mtmd
            ? NativeLibrary.Load(Directory.EnumerateFiles(folder, $"lib{name}.*so").Single())
            : 0);
        fixed (byte* path = Utf8(folder)) LoadBackends(path);
        SetLog(&Discard, 0);
        Initialize();
    }

    /// <summary>Text with the zero at its end.</summary>
    public static byte[] Utf8(string text) => System.Text.Encoding.UTF8.GetBytes(text + '\0');

    [LibraryImport(Ggml, EntryPoint = "ggml_backend_load_all_from_path")]
    private static partial void LoadBackends(byte* folder);

    [LibraryImport(Base, EntryPoint = "ggml_version")]
    public static partial nint GgmlVersion();

    [LibraryImport(Base, EntryPoint = "ggml_commit")]
    public static partial nint GgmlCommit();

    [LibraryImport(Llama, EntryPoint = "llama_backend_init")]
    private static partial void Initialize();

    [LibraryImport(Llama, EntryPoint = "llama_log_set")]
    private static partial void SetLog(delegate* unmanaged[Cdecl]<int, nint, nint, void> callback, nint data);

    [LibraryImport(Llama, EntryPoint = "llama_print_system_info")]
    public static partial nint SystemInfo();

    [LibraryImport(Llama, EntryPoint = "llama_model_default_params")]
    public static partial LlamaParameters DefaultModelParameters();

    [LibraryImport(Llama, EntryPoint = "llama_model_load_from_file")]
    public static partial nint LoadModel(byte* path, LlamaParameters parameters);

    [LibraryImport(Llama, EntryPoint = "llama_model_free")]
    public static partial void FreeModel(nint model);

    [LibraryImport(Llama, EntryPoint = "llama_context_default_params")]
    public static partial LlamaParameters DefaultContextParameters();

    [LibraryImport(Llama, EntryPoint = "llama_init_from_model")]
    public static partial nint CreateContext(nint model, LlamaParameters parameters);

    [LibraryImport(Llama, EntryPoint = "llama_free")]
    public static partial void FreeContext(nint context);

    [LibraryImport(Llama, EntryPoint = "llama_set_n_threads")]
    public static partial void SetThreads(nint context, int decode, int prefill);

    [LibraryImport(Llama, EntryPoint = "llama_n_ubatch")]
    public static partial uint MicroBatchOf(nint context);

    [LibraryImport(Llama, EntryPoint = "llama_get_memory")]
    public static partial nint MemoryOf(nint context);

    [LibraryImport(Llama, EntryPoint = "llama_memory_clear")]
    public static partial void ClearMemory(nint memory, [MarshalAs(UnmanagedType.U1)] bool data);

    [LibraryImport(Llama, EntryPoint = "llama_batch_get_one")]
    public static partial LlamaBatch BatchOf(int* tokens, int count);

    [LibraryImport(Llama, EntryPoint = "llama_decode")]
    public static partial int Decode(nint context, LlamaBatch batch);

    [LibraryImport(Llama, EntryPoint = "llama_synchronize")]
    public static partial void Synchronize(nint context);

    [UnmanagedCallersOnly(CallConvs = [typeof(System.Runtime.CompilerServices.CallConvCdecl)])]
    private static void Discard(int level, nint text, nint data)
    {
        if (Environment.GetEnvironmentVariable("LLAMA_LOG") is not null) Console.Error.Write(Marshal.PtrToStringUTF8(text));
    }
}
