namespace LlavaSp.Peers.Onnx;

/// <summary>How ONNX Runtime holds weights.</summary>
internal enum OnnxWeights
{
    Float,

    /// <summary>8 bits with a scale for each output; activations quantised dynamically with one scale for the whole tensor.</summary>
    Int8,

    /// <summary>4 bits in groups of 64 as LlavaSp has them, activations in 8 bits (<c>MatMulNBits</c>, accuracy level 4).</summary>
    Int4,
}

/// <summary>Products with random weights.</summary>
internal sealed class OnnxLinear(OnnxGraph graph, OnnxWeights format)
{
    private const long Group = 64, Bits = 4, Int8Products = 4;

    private readonly RandomBytes _floats = RandomBytes.Floats(0.03f), _integers = RandomBytes.Integers(), _scales = RandomBytes.Floats(0.0001f, 0.0003f);
    private readonly Dictionary<string, string[]> _quantised = [];

    /// <summary>Inputs times a matrix, plus a bias where there is one.</summary>
    public string Apply(string x, long inputs, long outputs, bool bias)
    {
        string added = bias ? graph.Weight(OnnxType.Float, _floats, outputs) : "";
        switch (format)
        {
            case OnnxWeights.Int8:
                // Those who read the same activations share what was quantised.
                if (!_quantised.TryGetValue(x, out string[]? bytes)) _quantised[x] = bytes = graph.Nodes("DynamicQuantizeLinear", "", [x], 3);
                string weights = graph.Weight(OnnxType.Int8, _integers, inputs, outputs), scale = graph.Weight(OnnxType.Float, _scales, outputs);
                return graph.Node("MatMulIntegerToFloat", OnnxGraph.Microsoft, [bytes[0], weights, bytes[1], scale, bytes[2], "", added]);
            case OnnxWeights.Int4:
                string nibbles = graph.Weight(OnnxType.UInt8, _integers, outputs, inputs / Group, Group * Bits / 8);
                string scales = graph.Weight(OnnxType.Float, _scales, outputs * inputs / Group);
                return graph.Node(
                    "MatMulNBits", OnnxGraph.Microsoft, bias ? [x, nibbles, scales, "", "", added] : [x, nibbles, scales],
                    ("K", inputs), ("N", outputs), ("bits", Bits), ("block_size", Group), ("accuracy_level", Int8Products));
            default:
                string product = graph.Node("MatMul", "", [x, graph.Weight(OnnxType.Float, _floats, inputs, outputs)]);
                return bias ? graph.Node("Add", "", [product, added]) : product;
        }
    }

    /// <summary>A vector of weights around one.</summary>
    public string Scale(long size) => graph.Weight(OnnxType.Float, RandomBytes.Floats(0.02f, 1), size);

    /// <summary>A small tensor around zero.</summary>
    public string Small(params long[] shape) => graph.Weight(OnnxType.Float, _floats, shape);
}
