using System.Runtime.InteropServices;

namespace LlavaSp.Peers.Llama;

/// <summary>Parameters of llama.cpp's library for pictures; as with the others, only the first fields are touched.</summary>
[StructLayout(LayoutKind.Explicit, Size = 256)]
internal struct MtmdParameters
{
    [FieldOffset(0)]
    public byte UseGpu;

    [FieldOffset(1)]
    public byte PrintTimings;

    [FieldOffset(4)]
    public int Threads;
}

/// <summary>A prompt with markers where pictures belong.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct MtmdText
{
    public byte* Text;
    public nuint Length;
    public byte AddSpecial;
    public byte ParseSpecial;
}

/// <summary>The functions of llama.cpp's library for pictures that a measurement needs.</summary>
internal static unsafe partial class MtmdNative
{
    /// <summary>Type of a chunk that is a picture.</summary>
    public const int Picture = 1;

    private const string Mtmd = "mtmd";

    [LibraryImport(Mtmd, EntryPoint = "mtmd_context_params_default")]
    public static partial MtmdParameters DefaultParameters();

    [LibraryImport(Mtmd, EntryPoint = "mtmd_init_from_file")]
    public static partial nint Create(byte* path, nint textModel, MtmdParameters parameters);

    [LibraryImport(Mtmd, EntryPoint = "mtmd_free")]
    public static partial void Free(nint context);

    [LibraryImport(Mtmd, EntryPoint = "mtmd_default_marker")]
    public static partial byte* Marker();

    [LibraryImport(Mtmd, EntryPoint = "mtmd_bitmap_init")]
    public static partial nint Bitmap(uint width, uint height, byte* rgb);

    [LibraryImport(Mtmd, EntryPoint = "mtmd_input_chunks_init")]
    public static partial nint Chunks();

    [LibraryImport(Mtmd, EntryPoint = "mtmd_tokenize")]
    public static partial int Tokenize(nint context, nint chunks, MtmdText* text, nint* bitmaps, nuint count);

    [LibraryImport(Mtmd, EntryPoint = "mtmd_input_chunks_size")]
    public static partial nuint Count(nint chunks);

    [LibraryImport(Mtmd, EntryPoint = "mtmd_input_chunks_get")]
    public static partial nint ChunkAt(nint chunks, nuint index);

    [LibraryImport(Mtmd, EntryPoint = "mtmd_input_chunk_get_type")]
    public static partial int TypeOf(nint chunk);

    [LibraryImport(Mtmd, EntryPoint = "mtmd_encode_chunk")]
    public static partial int Encode(nint context, nint chunk);
}
