using Microsoft.ML.OnnxRuntime;

namespace LlavaSp.Peers.Onnx;

/// <summary>ONNX Runtime: the vision tower and the projector, with its fused attention.</summary>
internal static class OnnxVision
{
    private const float Epsilon = 1e-5f, QuickGelu = 1.702f;

    public static Measurement Measure(PeerOptions options, OnnxWeights format)
    {
        string name = $"vision-{format}", path = Path.Combine(options.WorkFolder, name + ".onnx");
        if (!File.Exists(path)) Build(format, name).Write(options.WorkFolder, name);
        using InferenceSession session = OnnxSession.Open(path);
        using OrtValue picture = OnnxSession.Random(1, 3, Shapes.ImageSize, Shapes.ImageSize);
        using var run = new RunOptions();
        double seconds = Measurement.Seconds(options.Runs, () => session.Run(run, ["picture"], [picture], ["features"]).Dispose());
        return new Measurement
        {
            Version = OnnxSession.Version,
            Metrics = { [Metric.Vision] = seconds, [Metric.PeakMemory] = Measurement.PeakMemory() },
        };
    }

    private static OnnxGraph Build(OnnxWeights format, string name)
    {
        const long Hidden = Shapes.VisionHidden;
        var graph = new OnnxGraph(name);
        var linear = new OnnxLinear(graph, format);
        string Norm(string x) => graph.Node("LayerNormalization", "", [x, linear.Scale(Hidden), linear.Small(Hidden)], ("axis", -1L), ("epsilon", Epsilon));
        graph.Input("picture", OnnxType.Float, 1, 3, Shapes.ImageSize, Shapes.ImageSize);

        string x = graph.Node(
            "Conv", "", ["picture", linear.Small(Hidden, 3, Shapes.PatchSize, Shapes.PatchSize)], ("strides", new long[] { Shapes.PatchSize, Shapes.PatchSize }));
        x = graph.Node("Reshape", "", [x, graph.Constant(1, Hidden, Shapes.Patches)]);
        x = graph.Node("Transpose", "", [x], ("perm", new long[] { 0, 2, 1 }));
        x = graph.Node("Concat", "", [linear.Small(1, 1, Hidden), x], ("axis", 1L));
        x = Norm(graph.Node("Add", "", [x, linear.Small(1, Shapes.Patches + 1, Hidden)]));
        for (int layer = 0; layer < Shapes.VisionLayers; layer++)
        {
            string normed = Norm(x);
            string[] projections = graph.Nodes("Split", "", [linear.Apply(normed, Hidden, 3 * Hidden, true), graph.Constant(Hidden, Hidden, Hidden)], 3, ("axis", 2L));
            string attention = graph.Node("MultiHeadAttention", OnnxGraph.Microsoft, projections, ("num_heads", (long)Shapes.VisionHeads));
            x = graph.Node("Add", "", [x, linear.Apply(attention, Hidden, Hidden, true)]);
            string inner = graph.Node("QuickGelu", OnnxGraph.Microsoft, [linear.Apply(Norm(x), Hidden, Shapes.VisionInner, true)], ("alpha", QuickGelu));
            x = graph.Node("Add", "", [x, linear.Apply(inner, Shapes.VisionInner, Hidden, true)]);
        }

        x = graph.Node("Slice", "", [x, graph.Constant(1), graph.Constant(Shapes.Patches + 1), graph.Constant(1)]);
        x = graph.Node("Gelu", OnnxGraph.Microsoft, [linear.Apply(x, Hidden, Shapes.Hidden, true)]);
        graph.Named("Identity", "", [linear.Apply(x, Shapes.Hidden, Shapes.Hidden, true)], ["features"]);
        graph.Output("features", OnnxType.Float, 1, Shapes.Patches, Shapes.Hidden);
        return graph;
    }
}
