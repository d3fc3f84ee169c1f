using System.Runtime.InteropServices;

namespace LlavaSp.Backends.Cpu;

/// <summary>The C ABI of native/cpu/llavasp_cpu.h; shapes and rules are documented there. Loaded by <see cref="NativeLibraryLocator"/>.</summary>
internal static unsafe partial class NativeMethods
{
    /// <summary>Name under which the imports ask for the library.</summary>
    public const string Library = "llavasp_cpu";

    /// <summary>LSP_ABI_VERSION of the header that these declarations were written for.</summary>
    public const int AbiVersion = 2;

    /// <summary>LSP_PANEL_ROWS: blocks of rows that are written in parallel start and end at multiples of it.</summary>
    public const int PanelRows = 32;

    [LibraryImport(Library)]
    public static partial int lsp_abi_version();

    [LibraryImport(Library)]
    public static partial byte* lsp_isa_available(int index);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial Status lsp_engine_create(string? isa, int threads, out nint engine);

    [LibraryImport(Library)]
    public static partial void lsp_engine_destroy(nint engine);

    [LibraryImport(Library)]
    public static partial byte* lsp_engine_isa(nint engine);

    [LibraryImport(Library)]
    public static partial void* lsp_allocate(long bytes);

    [LibraryImport(Library)]
    public static partial void lsp_free(void* block, long bytes);

    [LibraryImport(Library)]
    public static partial Status lsp_weight_create(long rows, long columns, Format format, int group, out nint weight);

    [LibraryImport(Library)]
    public static partial void lsp_weight_destroy(nint weight);

    [LibraryImport(Library)]
    public static partial long lsp_weight_bytes(nint weight);

    [LibraryImport(Library)]
    public static partial Status lsp_weight_write_f32(nint weight, long first, long count, float* values);

    [LibraryImport(Library)]
    public static partial Status lsp_weight_write_integers(nint weight, long first, long count, sbyte* values, float* scales);

    [LibraryImport(Library)]
    public static partial Status lsp_weight_write_stored(nint weight, long first, long count, byte* values, ushort* scales);

    [LibraryImport(Library)]
    public static partial Status lsp_weight_read_rows(nint weight, long first, long count, float* destination);

    [LibraryImport(Library)]
    public static partial Status lsp_kv_cache_create(int layers, int kvHeads, int headDim, int capacity, Format format, out nint cache);

    [LibraryImport(Library)]
    public static partial void lsp_kv_cache_destroy(nint cache);

    [LibraryImport(Library)]
    public static partial Status lsp_kv_cache_copy(nint destination, nint source, long positions);

    [LibraryImport(Library)]
    public static partial Status lsp_linear(
        nint engine, float* y, float* x, long m, nint weight, float* bias, Activation activation, float* residual, int int8Activations);

    [LibraryImport(Library)]
    public static partial Status lsp_patch_embedding(
        nint engine, float* destination, byte* pixels, float* lookup, long tiles, long size, long patch, nint patches, float* classToken,
        float* positions, float* normWeight, float* normBias, float epsilon, int int8Activations);

    [LibraryImport(Library)]
    public static partial Status lsp_spatial_tokens(
        nint engine, float* destination, float* features, long tiles, long grid, long d, SpatialMode mode, int count, int* sizes, nint* kernels,
        int int8Activations);

    [LibraryImport(Library)]
    public static partial Status lsp_adaptive_pool(nint engine, float* destination, float* features, long grid, long d, long size);

    [LibraryImport(Library)]
    public static partial Status lsp_detail_fusion(
        nint engine, float* destination, float* tokens, long count, float* features, long tiles, long grid, long d, long kernel, long stride, nint conv,
        NormLinearView* query, NormLinearView* key, NormLinearView* value, float epsilon, FusionTrace* trace, int int8Activations);

    [LibraryImport(Library)]
    public static partial Status lsp_gather(nint engine, float* destination, float* source, long rows, long columns, int* ids, long count);

    [LibraryImport(Library)]
    public static partial Status lsp_copy(nint engine, float* destination, float* source, long count);

    [LibraryImport(Library)]
    public static partial Status lsp_activate(nint engine, float* destination, float* source, long count, Activation activation);

    [LibraryImport(Library)]
    public static partial Status lsp_layer_norm(
        nint engine, float* destination, float* source, float* weight, float* bias, long rows, long columns, float epsilon);

    [LibraryImport(Library)]
    public static partial Status lsp_rms_norm(nint engine, float* destination, float* source, float* weight, long rows, long columns, float epsilon);

    [LibraryImport(Library)]
    public static partial Status lsp_gated_activation(nint engine, float* destination, float* gateUp, long m, long n);

    [LibraryImport(Library)]
    public static partial Status lsp_full_attention(nint engine, float* destination, float* qkv, long batch, long n, int heads, int headDim);

    [LibraryImport(Library)]
    public static partial Status lsp_rope_and_cache(
        nint engine, float* query, float* qkv, long m, int heads, nint cache, int layer, long first, float* cosines, float* sines);

    [LibraryImport(Library)]
    public static partial Status lsp_causal_attention(
        nint engine, float* destination, float* query, long m, int heads, nint cache, int layer, long first);

    [LibraryImport(Library)]
    public static partial Status lsp_embed(nint engine, float* destination, nint table, int* ids, long count);

    [LibraryImport(Library)]
    public static partial Status lsp_argmax(nint engine, float* values, long n, out long index);

    [LibraryImport(Library)]
    public static partial double lsp_bench_read_bandwidth(nint engine, long bytes, int repeats);

    [LibraryImport(Library)]
    public static partial double lsp_bench_fma(nint engine, int repeats);

    [LibraryImport(Library)]
    public static partial double lsp_bench_int8_dot(nint engine, int repeats);

    /// <summary>lsp_status.</summary>
    public enum Status
    {
        Ok,
        InvalidArgument,
        OutOfMemory,
        UnknownIsa,
        UnsupportedIsa,
        NotANumber,
        NoThreads,
    }

    /// <summary>lsp_format; the order of <see cref="Quantization.WeightKind"/>.</summary>
    public enum Format
    {
        F32,
        F16,
        BF16,
        Int8,
        Int4,
    }

    /// <summary>lsp_norm_linear.</summary>
    public struct NormLinearView
    {
        public float* NormWeight;
        public float* NormBias;
        public nint Linear;
        public float* Bias;
    }

    /// <summary>lsp_fusion_trace.</summary>
    public struct FusionTrace
    {
        public float* Conv;
        public float* Query;
        public float* Key;
        public float* Value;
        public float* Logits;
        public float* Probs;
        public float* Out;
    }
}
