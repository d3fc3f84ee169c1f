using System.Runtime.InteropServices;

namespace LlavaSp.Peers.Llama;

/// <summary>llama.cpp's decoder: prefill, decode with an empty cache and behind the prompt, peak memory. Flash attention is on where llama.cpp supports it, as by default.</summary>
internal static unsafe class LlamaText
{
    public static Measurement Measure(PeerOptions options, bool fourBits)
    {
        string path = LlamaFile.Decoder(options.WorkFolder, fourBits ? GgufType.Q4_0 : GgufType.Q8_0, options.Quick ? Shapes.QuickLayers : Shapes.Layers);
        string libraries = options.LlamaLibraries();
        LlamaNative.LoadFrom(libraries);
        nint model;
        fixed (byte* file = LlamaNative.Utf8(path)) model = LlamaNative.LoadModel(file, LlamaNative.DefaultModelParameters());
        if (model == 0) throw new PeerException($"llama.cpp did not load {Path.GetFileName(path)}");
        LlamaParameters parameters = LlamaNative.DefaultContextParameters();
        parameters.Context = parameters.Batch = parameters.MicroBatch = Shapes.Context;
        nint context = LlamaNative.CreateContext(model, parameters);
        if (context == 0 || LlamaNative.MicroBatchOf(context) != Shapes.Context) throw new PeerException("llama.cpp made no context of the size asked for");
        LlamaNative.SetThreads(context, Shapes.Threads, Shapes.Threads);

        var random = new Random(7);
        int[] prompt = [.. Enumerable.Range(0, Shapes.Prompt).Select(_ => random.Next(300, Shapes.Vocabulary))];
        Decode(context, prompt[..32]);
        Clear(context);
        double prefill = Measurement.Once(() => Decode(context, prompt));
        double cached = Measurement.Once(() => DecodeOneByOne(context, prompt));
        Clear(context);
        Decode(context, prompt[..1]);
        double empty = Measurement.Once(() => DecodeOneByOne(context, prompt));
        var result = new Measurement
        {
            Version = Version(libraries),
            Metrics =
            {
                [Metric.Prefill] = Shapes.Prompt / prefill,
                [Metric.DecodeCached] = Shapes.DecodeTokens / cached,
                [Metric.DecodeEmpty] = Shapes.DecodeTokens / empty,
                [Metric.PeakMemory] = Measurement.PeakMemory(),
            },
        };
        LlamaNative.FreeContext(context);
        LlamaNative.FreeModel(model);
        return result;
    }

    private static string Version(string libraries)
    {
        string version = $"llama.cpp, ggml {Marshal.PtrToStringUTF8(LlamaNative.GgmlVersion())} ({Marshal.PtrToStringUTF8(LlamaNative.GgmlCommit())})";
        // Which of the libraries for one instruction set llama.cpp chose for this machine.
        string? chosen = File.ReadLines("/proc/self/maps").Select(line => Path.GetFileNameWithoutExtension(line))
            .FirstOrDefault(name => name.StartsWith("libggml-cpu-", StringComparison.Ordinal));
        return chosen is null || !Directory.Exists(libraries) ? version : $"{version}, {chosen["libggml-cpu-".Length..]} kernels";
    }

    private static void Clear(nint context) => LlamaNative.ClearMemory(LlamaNative.MemoryOf(context), true);

    private static void DecodeOneByOne(nint context, int[] tokens)
    {
        for (int i = 0; i < Shapes.DecodeTokens; i++) Decode(context, tokens[i..(i + 1)]);
    }

    private static void Decode(nint context, int[] tokens)
    {
        fixed (int* ids = tokens)
        {
            if (LlamaNative.Decode(context, LlamaNative.BatchOf(ids, tokens.Length)) != 0) throw new PeerException("llama_decode failed");
            LlamaNative.Synchronize(context);
        }
    }
}
