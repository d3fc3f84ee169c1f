using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LlavaSp.Peers.Torch;

/// <summary>TorchSharp (libtorch): the vision tower and the projector in float32, with its fused attention.</summary>
internal static class TorchVision
{
    public static Measurement Measure(PeerOptions options)
    {
        set_num_threads(Shapes.Threads);
        using IDisposable inference = inference_mode();
        int layers = Shapes.VisionLayers;
        Conv2d patches = nn.Conv2d(3, Shapes.VisionHidden, kernel_size: Shapes.PatchSize, stride: Shapes.PatchSize, bias: false);
        Tensor classToken = randn(1, 1, Shapes.VisionHidden), positions = randn(1, Shapes.Patches + 1, Shapes.VisionHidden);
        LayerNorm norm = nn.LayerNorm(Shapes.VisionHidden);
        Layer[] tower = [.. Enumerable.Range(0, layers).Select(_ => new Layer())];
        Linear first = nn.Linear(Shapes.VisionHidden, Shapes.Hidden), second = nn.Linear(Shapes.Hidden, Shapes.Hidden);
        Tensor picture = randn(1, 3, Shapes.ImageSize, Shapes.ImageSize);

        double seconds = Measurement.Seconds(options.Runs, () =>
        {
            using DisposeScope scope = NewDisposeScope();
            Tensor x = patches.forward(picture).flatten(2).transpose(1, 2);
            x = norm.forward(cat([classToken, x], 1) + positions);
            foreach (Layer layer in tower) x = layer.Forward(x);
            x = x.narrow(1, 1, Shapes.Patches).contiguous();
            second.forward(nn.functional.gelu(first.forward(x)));
        });
        return new Measurement
        {
            Version = $"TorchSharp {typeof(torch).Assembly.GetName().Version?.ToString(3)}, libtorch {torch.__version__}",
            Metrics = { [Metric.Vision] = seconds, [Metric.PeakMemory] = Measurement.PeakMemory() },
        };
    }

    /// <summary>A layer of CLIP; the three projections of attention are one product.</summary>
    private sealed class Layer
    {
        private readonly LayerNorm _before = nn.LayerNorm(Shapes.VisionHidden), _between = nn.LayerNorm(Shapes.VisionHidden);
        private readonly Linear _projections = nn.Linear(Shapes.VisionHidden, 3 * Shapes.VisionHidden), _output = nn.Linear(Shapes.VisionHidden, Shapes.VisionHidden);
        private readonly Linear _up = nn.Linear(Shapes.VisionHidden, Shapes.VisionInner), _down = nn.Linear(Shapes.VisionInner, Shapes.VisionHidden);

        public Tensor Forward(Tensor x)
        {
            using DisposeScope scope = NewDisposeScope();
            long rows = x.shape[1];
            Tensor heads = _projections.forward(_before.forward(x)).view(1, rows, 3, Shapes.VisionHeads, -1).permute(2, 0, 3, 1, 4);
            Tensor attention = nn.functional.scaled_dot_product_attention(heads[0], heads[1], heads[2]);
            x = x + _output.forward(attention.transpose(1, 2).reshape(1, rows, Shapes.VisionHidden));
            Tensor inner = _up.forward(_between.forward(x));
            return (x + _down.forward(inner * sigmoid(inner * 1.702f))).MoveToOuterDisposeScope();
        }
    }
}
