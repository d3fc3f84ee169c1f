using LlavaSp.Peers.Accuracy;
using LlavaSp.Peers.Llama;
using LlavaSp.Peers.Onnx;
using LlavaSp.Peers.Torch;

namespace LlavaSp.Peers;

/// <summary>One library in one format: what a process of its own measures.</summary>
/// <param name="Id">Name on the command line and in the results.</param>
/// <param name="Peer">Name of the library.</param>
/// <param name="Format">Weights and activations.</param>
/// <param name="Measure">Measures it; null for LlavaSp's speed, which its own tool measures.</param>
/// <param name="Once">Whether one process is enough: what it measures is the same every time.</param>
internal sealed record Source(string Id, string Peer, string Format, Func<PeerOptions, Measurement>? Measure, bool Once = false)
{
    /// <summary>Name in tables.</summary>
    public string Label => $"{Peer} {Format}";
}

/// <summary>All that are compared, in groups that are measured in turn.</summary>
internal static class Sources
{
    public const string Ours = "LlavaSp";

    public static IReadOnlyList<IReadOnlyList<Source>> Groups { get; } =
    [
        [
            new("llava-sp-int4", Ours, "int4", null),
            new("llama-4bit", "llama.cpp", "Q4_0", options => LlamaText.Measure(options, true)),
            new("onnx-4bit", "ONNX Runtime", "4-bit", options => OnnxDecoder.Measure(options, OnnxWeights.Int4)),
        ],
        [
            new("llava-sp-int8", Ours, "int8", null),
            new("llama-8bit", "llama.cpp", "Q8_0", options => LlamaText.Measure(options, false)),
            new("onnx-vision-int8", "ONNX Runtime", "int8", options => OnnxVision.Measure(options, OnnxWeights.Int8)),
            new("onnx-8bit", "ONNX Runtime", "int8", options => OnnxDecoder.Measure(options, OnnxWeights.Int8)),
        ],
        [
            new("llava-sp-f32", Ours, "float32", null),
            new("torch-vision", "TorchSharp", "float32", TorchVision.Measure),
            new("llama-vision", "llama.cpp", "f16", LlamaVision.Measure),
            new("onnx-vision-f32", "ONNX Runtime", "float32", options => OnnxVision.Measure(options, OnnxWeights.Float)),
        ],
        [
            new("llava-sp-errors", Ours, "errors", _ => OwnErrors.Measure(), Once: true),
            new("onnx-errors", "ONNX Runtime", "errors", OnnxErrors.Measure, Once: true),
        ],
    ];

    public static IEnumerable<Source> All => Groups.SelectMany(group => group);

    public static Source Get(string id) => All.FirstOrDefault(source => source.Id == id)
        ?? throw new PeerException($"unknown '{id}': use one of {string.Join(", ", All.Where(source => source.Measure is not null).Select(source => source.Id))}");
}
