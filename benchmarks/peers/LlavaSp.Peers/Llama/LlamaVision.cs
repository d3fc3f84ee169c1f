using System.Reflection;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace LlavaSp.Peers.Llama;

/// <summary>llama.cpp's vision tower and projector in half precision.</summary>
internal static unsafe class LlamaVision
{
    public static Measurement Measure(PeerOptions options)
    {
        LlamaNative.LoadFrom(Libraries());
        string tower = TowerFile(options.WorkFolder);
        nint model, context;
        // The library for pictures wants a decoder to fit; how large it is does not matter.
        fixed (byte* file = LlamaNative.Utf8(LlamaFile.Decoder(options.WorkFolder, GgufType.Q4_0, Shapes.QuickLayers)))
            model = LlamaNative.LoadModel(file, LlamaNative.DefaultModelParameters());
        if (model == 0) throw new PeerException("llama.cpp did not load the decoder that belongs to the tower");
        MtmdParameters parameters = MtmdNative.DefaultParameters();
        parameters.UseGpu = parameters.PrintTimings = 0;
        parameters.Threads = Shapes.Threads;
        fixed (byte* file = LlamaNative.Utf8(tower)) context = MtmdNative.Create(file, model, parameters);
        if (context == 0) throw new PeerException("llama.cpp did not load the vision tower");
        nint picture = Picture(context);
        double seconds = Measurement.Seconds(options.Runs, () =>
        {
            if (MtmdNative.Encode(context, picture) != 0) throw new PeerException("mtmd_encode_chunk failed");
        });
        var result = new Measurement
        {
            Version = $"llama.cpp for pictures, ggml {Marshal.PtrToStringUTF8(LlamaNative.GgmlVersion())} ({Marshal.PtrToStringUTF8(LlamaNative.GgmlCommit())}), {Path.GetFileName(Libraries())} kernels",
            Metrics = { [Metric.Vision] = seconds, [Metric.PeakMemory] = Measurement.PeakMemory() },
        };
        MtmdNative.Free(context);
        LlamaNative.FreeModel(model);
        return result;
    }

    /// <summary>The best build for this processor among those of the package.</summary>
    private static string Libraries()
    {
        string root = typeof(LlamaVision).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(data => data.Key == "MtmdLibraries").Value!;
        string folder = Path.Combine(root, Avx512F.IsSupported ? "avx512" : Avx2.IsSupported ? "avx2" : "noavx");
        return Directory.Exists(folder) ? folder : throw new PeerException("its library for pictures is not in the package");
    }

    /// <summary>A picture of noise, as the tower takes it.</summary>
    private static nint Picture(nint context)
    {
        var pixels = new byte[Shapes.ImageSize * Shapes.ImageSize * 3];
        new Random(6).NextBytes(pixels);
        nint bitmap, chunks = MtmdNative.Chunks();
        fixed (byte* rgb = pixels) bitmap = MtmdNative.Bitmap(Shapes.ImageSize, Shapes.ImageSize, rgb);
        byte* marker = MtmdNative.Marker();
        var text = new MtmdText { Text = marker, Length = (nuint)MemoryMarshal.CreateReadOnlySpanFromNullTerminated(marker).Length, AddSpecial = 1 };
        if (MtmdNative.Tokenize(context, chunks, &text, &bitmap, 1) != 0) throw new PeerException("mtmd_tokenize failed");
        for (nuint i = 0; i < MtmdNative.Count(chunks); i++)
            if (MtmdNative.TypeOf(MtmdNative.ChunkAt(chunks, i)) == MtmdNative.Picture) return MtmdNative.ChunkAt(chunks, i);
        throw new PeerException("llama.cpp found no picture in the prompt");
    }

    private static string TowerFile(string folder)
    {
        string path = Path.Combine(folder, "tower-F16.gguf");
        if (File.Exists(path)) return path;
        const int Hidden = Shapes.VisionHidden, Inner = Shapes.VisionInner;
        var file = new GgufWriter();
        file.Add("general.architecture", "clip");
        file.Add("general.file_type", 1u);
        file.Add("clip.has_vision_encoder", true);
        file.Add("clip.projector_type", "mlp");
        file.Add("clip.vision.image_size", (uint)Shapes.ImageSize);
        file.Add("clip.vision.patch_size", (uint)Shapes.PatchSize);
        file.Add("clip.vision.embedding_length", (uint)Hidden);
        file.Add("clip.vision.feed_forward_length", (uint)Inner);
        file.Add("clip.vision.projection_dim", 768u);
        file.Add("clip.vision.attention.head_count", (uint)Shapes.VisionHeads);
        file.Add("clip.vision.attention.layer_norm_epsilon", 1e-5f);
        file.Add("clip.vision.block_count", (uint)Shapes.VisionLayers);
        file.Add("clip.vision.image_mean", [0.481f, 0.458f, 0.408f]);
        file.Add("clip.vision.image_std", [0.269f, 0.261f, 0.276f]);
        file.Add("clip.use_gelu", false);

        void Linear(string name, long inputs, long outputs)
        {
            file.AddTensor(name + ".weight", GgufType.F16, inputs, outputs);
            file.AddTensor(name + ".bias", GgufType.F32, outputs);
        }

        void Norm(string name)
        {
            file.AddTensor(name + ".weight", GgufType.F32, Hidden);
            file.AddTensor(name + ".bias", GgufType.F32, Hidden);
        }

        file.AddTensor("v.class_embd", GgufType.F32, Hidden);
        file.AddTensor("v.patch_embd.weight", GgufType.F16, Shapes.PatchSize, Shapes.PatchSize, 3, Hidden);
        file.AddTensor("v.position_embd.weight", GgufType.F16, Hidden, Shapes.Patches + 1);
        Norm("v.pre_ln");
        for (int layer = 0; layer < Shapes.VisionLayers; layer++)
        {
            string prefix = $"v.blk.{layer}.";
            foreach (string name in (string[])["attn_q", "attn_k", "attn_v", "attn_out"]) Linear(prefix + name, Hidden, Hidden);
            Norm(prefix + "ln1");
            Norm(prefix + "ln2");
            Linear(prefix + "ffn_up", Hidden, Inner);
            Linear(prefix + "ffn_down", Inner, Hidden);
        }

        Linear("mm.0", Hidden, Shapes.Hidden);
        Linear("mm.2", Shapes.Hidden, Shapes.Hidden);
        file.Write(path);
        return path;
    }
}
