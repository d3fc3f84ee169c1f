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
                return Bytes(x, graph.Weight(OnnxType.Int8, _integers, inputs, outputs), graph.Weight(OnnxType.Float, _scales, outputs), added);
            case OnnxWeights.Int4:
                string nibbles = graph.Weight(OnnxType.UInt8, _integers, outputs, inputs / Group, Group * Bits / 8);
                return Nibbles(x, inputs, outputs, nibbles, graph.Weight(OnnxType.Float, _scales, outputs * inputs / Group), added);
            default:
                string product = graph.Node("MatMul", "", [x, graph.Weight(OnnxType.Float, _floats, inputs, outputs)]);
                return bias ? graph.Node("Add", "", [product, added]) : product;
        }
    }

    /// <summary>Inputs times given weights [outputs, inputs], rounded to the nearest: 8 bits by the largest magnitude of a row, 4 bits by that of a group.</summary>
    public string ApplyValues(string x, int inputs, int outputs, float[] values)
    {
        int group = format == OnnxWeights.Int8 ? inputs : (int)Group, levels = format == OnnxWeights.Int8 ? 127 : 8;
        var integers = new int[values.Length];
        var scales = new float[values.Length / group];
        for (int g = 0; g < scales.Length; g++)
        {
            Span<float> from = values.AsSpan(g * group, group);
            float most = 0;
            foreach (float value in from) most = Math.Abs(value) > Math.Abs(most) ? value : most;
            // Four bits reach from -8 to 7: the largest becomes -8, whatever its sign.
            scales[g] = format == OnnxWeights.Int8 ? Math.Abs(most) / levels : -most / levels;
            for (int i = 0; i < group; i++)
                integers[g * group + i] = Math.Clamp((int)MathF.Round(from[i] / scales[g]), -levels, format == OnnxWeights.Int8 ? levels : levels - 1);
        }

        string scale = graph.Constant(OnnxType.Float, [.. scales.SelectMany(BitConverter.GetBytes)], scales.Length);
        if (format == OnnxWeights.Int8)
        {
            var bytes = new byte[integers.Length];
            for (int n = 0; n < outputs; n++)
            {
                for (int k = 0; k < inputs; k++) bytes[k * outputs + n] = (byte)(sbyte)integers[n * inputs + k];
            }

            return Bytes(x, graph.Constant(OnnxType.Int8, bytes, inputs, outputs), scale, "");
        }

        var pairs = new byte[integers.Length / 2];
        for (int i = 0; i < pairs.Length; i++) pairs[i] = (byte)((integers[2 * i] + 8) | (integers[2 * i + 1] + 8) << 4);
        return Nibbles(x, inputs, outputs, graph.Constant(OnnxType.UInt8, pairs, outputs, inputs / Group, Group * Bits / 8), scale, "");
    }

    /// <summary>A vector of weights around one.</summary>
    public string Scale(long size) => graph.Weight(OnnxType.Float, RandomBytes.Floats(0.02f, 1), size);

    /// <summary>A small tensor around zero.</summary>
    public string Small(params long[] shape) => graph.Weight(OnnxType.Float, _floats, shape);

    private string Bytes(string x, string weights, string scale, string bias)
    {
        // Those who read the same activations share what was quantised.
        if (!_quantised.TryGetValue(x, out string[]? bytes)) _quantised[x] = bytes = graph.Nodes("DynamicQuantizeLinear", "", [x], 3);
        return graph.Node("MatMulIntegerToFloat", OnnxGraph.Microsoft, [bytes[0], weights, bytes[1], scale, bytes[2], "", bias]);
    }

    private string Nibbles(string x, long inputs, long outputs, string nibbles, string scales, string bias) => graph.Node(
        "MatMulNBits", OnnxGraph.Microsoft, bias.Length > 0 ? [x, nibbles, scales, "", "", bias] : [x, nibbles, scales],
        ("K", inputs), ("N", outputs), ("bits", Bits), ("block_size", Group), ("accuracy_level", Int8Products));
}
