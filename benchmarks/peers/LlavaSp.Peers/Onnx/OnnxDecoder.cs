using Microsoft.ML.OnnxRuntime;

namespace LlavaSp.Peers.Onnx;

/// <summary>
/// ONNX Runtime's decoder: some of its layers with its fused attention, whose cache is written in place, and the output matrix. The layers that are missing are extrapolated:
/// the graph of all would take as long to build as to measure, and says no more.
/// </summary>
internal sealed class OnnxDecoder : IDisposable
{
    private const float Epsilon = 1e-5f;

    private readonly InferenceSession _layers, _head;
    private readonly OrtValue[] _cache;
    private readonly string[] _cacheInputs, _cacheOutputs;
    private readonly RunOptions _run = new();
    private readonly double _factor;

    private OnnxDecoder(PeerOptions options, OnnxWeights format)
    {
        int total = options.Quick ? Shapes.QuickLayers : Shapes.Layers;
        int layers = Math.Min(total, format == OnnxWeights.Int8 ? Shapes.OnnxInt8Layers : Shapes.OnnxInt4Layers);
        _factor = (double)total / layers;
        _layers = Open(options, $"decoder-{format}-{layers}", graph => BuildLayers(graph, new OnnxLinear(graph, format), layers));
        _head = Open(options, $"head-{format}", graph => BuildHead(graph, new OnnxLinear(graph, format)));
        string[] caches = [.. Enumerable.Range(0, layers).SelectMany(layer => new[] { $"key_{layer}", $"value_{layer}" })];
        _cacheInputs = [.. caches.Select(name => "past_" + name)];
        _cacheOutputs = [.. caches.Select(name => "present_" + name)];
        _cache = [.. caches.Select(_ => OnnxSession.Random(1, Shapes.Heads, Shapes.Context, Shapes.HeadSize))];
    }

    public static Measurement Measure(PeerOptions options, OnnxWeights format)
    {
        using var decoder = new OnnxDecoder(options, format);
        using var prompt = new Activations(Shapes.Prompt);
        double prefill = Measurement.Seconds(options.Runs, () => decoder.Layers(prompt, 0));
        double cached = decoder.Step(Shapes.Prompt, options.Runs), empty = decoder.Step(1, options.Runs), head;
        using (OrtValue row = OnnxSession.Random(1, 1, Shapes.Hidden))
        {
            head = Measurement.Seconds(5, () => decoder._head.Run(decoder._run, ["hidden"], [row], ["logits"]).Dispose());
        }

        return new Measurement
        {
            Version = OnnxSession.Version,
            Metrics =
            {
                [Metric.Prefill] = Shapes.Prompt / (prefill * decoder._factor + head),
                [Metric.DecodeCached] = 1 / (cached * decoder._factor + head),
                [Metric.DecodeEmpty] = 1 / (empty * decoder._factor + head),
            },
        };
    }

    public void Dispose()
    {
        foreach (OrtValue cache in _cache) cache.Dispose();
        _run.Dispose();
        _layers.Dispose();
        _head.Dispose();
    }

    /// <summary>Seconds that the layers take for a token behind <paramref name="position"/> others.</summary>
    private double Step(int position, int runs)
    {
        using var token = new Activations(1);
        return Measurement.Seconds(runs, () =>
        {
            for (int i = 0; i < Shapes.DecodeTokens; i++) Layers(token, position + i);
        }) / Shapes.DecodeTokens;
    }

    private void Layers(Activations rows, int position)
    {
        using OrtValue last = OrtValue.CreateTensorValueFromMemory(new[] { position + rows.Count - 1 }, [1]);
        using OrtValue total = OrtValue.CreateTensorValueFromMemory(new[] { position + rows.Count }, [1]);
        _layers.Run(
            _run, ["hidden", "last_position", "total_length", .. _cacheInputs], [rows.Input, last, total, .. _cache],
            ["output", .. _cacheOutputs], [rows.Output, .. _cache]);
    }

    /// <summary>What goes into the layers and comes out.</summary>
    private sealed class Activations(int count) : IDisposable
    {
        public int Count => count;

        public OrtValue Input { get; } = OnnxSession.Random(1, count, Shapes.Hidden);

        public OrtValue Output { get; } = OnnxSession.Random(1, count, Shapes.Hidden);

        public void Dispose()
        {
            Input.Dispose();
            Output.Dispose();
        }
    }

    private static InferenceSession Open(PeerOptions options, string name, Action<OnnxGraph> build)
    {
        string path = Path.Combine(options.WorkFolder, name + ".onnx");
        if (!File.Exists(path))
        {
            var graph = new OnnxGraph(name);
            build(graph);
            graph.Write(options.WorkFolder, name);
        }

        return OnnxSession.Open(path);
    }

    private static void BuildLayers(OnnxGraph graph, OnnxLinear linear, int layers)
    {
        const long Hidden = Shapes.Hidden, Inner = Shapes.Inner;
        graph.Input("hidden", OnnxType.Float, 1, "rows", Hidden);
        graph.Input("last_position", OnnxType.Int32, 1);
        graph.Input("total_length", OnnxType.Int32, 1);
        string cosines = linear.Small(Shapes.Context, Shapes.HeadSize / 2), sines = linear.Small(Shapes.Context, Shapes.HeadSize / 2);
        string x = "hidden";
        for (int layer = 0; layer < layers; layer++)
        {
            foreach (string name in (string[])[$"key_{layer}", $"value_{layer}"])
            {
                graph.Input("past_" + name, OnnxType.Float, 1, Shapes.Heads, Shapes.Context, Shapes.HeadSize);
                graph.Output("present_" + name, OnnxType.Float, 1, Shapes.Heads, Shapes.Context, Shapes.HeadSize);
            }

            string attention = graph.Named(
                "GroupQueryAttention", OnnxGraph.Microsoft,
                [
                    linear.Apply(Norm(graph, linear, x), Hidden, 3 * Hidden, false), "", "", $"past_key_{layer}", $"past_value_{layer}",
                    "last_position", "total_length", cosines, sines,
                ],
                [$"attention_{layer}", $"present_key_{layer}", $"present_value_{layer}"],
                ("num_heads", (long)Shapes.Heads), ("kv_num_heads", (long)Shapes.Heads), ("do_rotary", 1L))[0];
            x = graph.Node("Add", "", [x, linear.Apply(attention, Hidden, Hidden, false)]);
            string normed = Norm(graph, linear, x);
            // With a factor of one this is SiLU.
            string gate = graph.Node("QuickGelu", OnnxGraph.Microsoft, [linear.Apply(normed, Hidden, Inner, false)], ("alpha", 1f));
            string inner = graph.Node("Mul", "", [gate, linear.Apply(normed, Hidden, Inner, false)]);
            x = graph.Node("Add", "", [x, linear.Apply(inner, Inner, Hidden, false)]);
        }

        graph.Named("Identity", "", [x], ["output"]);
        graph.Output("output", OnnxType.Float, 1, "rows", Hidden);
    }

    private static void BuildHead(OnnxGraph graph, OnnxLinear linear)
    {
        graph.Input("hidden", OnnxType.Float, 1, 1, Shapes.Hidden);
        string logits = linear.Apply(Norm(graph, linear, "hidden"), Shapes.Hidden, Shapes.Vocabulary, false);
        graph.Named("Identity", "", [logits], ["logits"]);
        graph.Output("logits", OnnxType.Float, 1, 1, Shapes.Vocabulary);
    }

    private static string Norm(OnnxGraph graph, OnnxLinear linear, string x) =>
        graph.Node("SimplifiedLayerNormalization", "", [x, linear.Scale(Shapes.Hidden)], ("axis", -1L), ("epsilon", Epsilon));
}
