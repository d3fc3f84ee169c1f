namespace LlavaSp.Peers.Onnx;

/// <summary>Types of tensors, by the format's own numbers.</summary>
internal enum OnnxType
{
    Float = 1,
    UInt8 = 2,
    Int8 = 3,
    Int32 = 6,
    Int64 = 7,
}

/// <summary>Builds an ONNX model with random weights beside it in a file of its own: a model in one piece may not have 2 GB.</summary>
internal sealed class OnnxGraph
{
    /// <summary>Operators that are ONNX Runtime's own.</summary>
    public const string Microsoft = "com.microsoft";

    private const int IrVersion = 8, OpSet = 17, AttributeFloat = 1, AttributeInt = 2, AttributeInts = 7, External = 1;

    // The page size: ONNX Runtime maps weights that lie so.
    private const int Alignment = 4096;

    private readonly ProtoWriter _graph = new();
    private readonly List<(RandomBytes Values, long Offset, long Bytes)> _data = [];
    private readonly string _dataFile;
    private long _offset;
    private int _names;

    public OnnxGraph(string name)
    {
        _dataFile = name + ".weights";
        _graph.Text(2, name);
    }

    /// <summary>A random tensor in the file of weights.</summary>
    public string Weight(OnnxType type, RandomBytes values, params long[] shape)
    {
        string name = Next("w");
        long bytes = shape.Aggregate(type == OnnxType.Float ? 4L : 1L, (product, size) => product * size);
        var tensor = new ProtoWriter();
        foreach (long size in shape) tensor.Number(1, size);
        tensor.Number(2, (int)type);
        tensor.Text(8, name);
        foreach ((string key, string value) in (ReadOnlySpan<(string, string)>)[("location", _dataFile), ("offset", $"{_offset}"), ("length", $"{bytes}")])
            tensor.Message(13, new ProtoWriter().Text(1, key).Text(2, value));
        tensor.Number(14, External);
        _graph.Message(5, tensor);
        _data.Add((values, _offset, bytes));
        _offset = (_offset + bytes + Alignment - 1) / Alignment * Alignment;
        return name;
    }

    /// <summary>A small tensor in the model itself.</summary>
    public string Constant(OnnxType type, byte[] value, params long[] shape)
    {
        string name = Next("c");
        var tensor = new ProtoWriter();
        foreach (long size in shape) tensor.Number(1, size);
        _graph.Message(5, tensor.Number(2, (int)type).Text(8, name).Bytes(9, value));
        return name;
    }

    public string Constant(params long[] values) => Constant(OnnxType.Int64, [.. values.SelectMany(BitConverter.GetBytes)], values.Length);

    public void Input(string name, OnnxType type, params object[] shape) => _graph.Message(11, ValueInfo(name, type, shape));

    public void Output(string name, OnnxType type, params object[] shape) => _graph.Message(12, ValueInfo(name, type, shape));

    /// <summary>A node with one output; an attribute is a long, a float or longs.</summary>
    public string Node(string op, string domain, string[] inputs, params (string Name, object Value)[] attributes) => Nodes(op, domain, inputs, 1, attributes)[0];

    /// <summary>A node with several outputs.</summary>
    public string[] Nodes(string op, string domain, string[] inputs, int outputs, params (string Name, object Value)[] attributes) =>
        Named(op, domain, inputs, [.. Enumerable.Range(0, outputs).Select(_ => Next("t"))], attributes);

    /// <summary>A node whose outputs have the given names; an empty one is not wanted.</summary>
    public string[] Named(string op, string domain, string[] inputs, string[] outputs, params (string Name, object Value)[] attributes)
    {
        var node = new ProtoWriter();
        foreach (string input in inputs) node.Text(1, input);
        foreach (string output in outputs) node.Text(2, output);
        node.Text(3, Next("n")).Text(4, op);
        foreach ((string name, object value) in attributes)
        {
            var attribute = new ProtoWriter();
            attribute.Text(1, name);
            switch (value)
            {
                case float number: attribute.Number(2, number).Number(20, AttributeFloat); break;
                case long number: attribute.Number(3, number).Number(20, AttributeInt); break;
                case long[] numbers:
                    foreach (long number in numbers) attribute.Number(8, number);
                    attribute.Number(20, AttributeInts);
                    break;
                default: throw new ArgumentException($"attribute {name}");
            }

            node.Message(5, attribute);
        }

        _graph.Message(1, node.Text(7, domain));
        return outputs;
    }

    /// <summary>Writes model and weights into a folder, once; the model's path.</summary>
    public string Write(string folder, string file)
    {
        string path = Path.Combine(folder, file + ".onnx");
        using (FileStream stream = File.Create(Path.Combine(folder, _dataFile)))
        {
            foreach ((RandomBytes values, long offset, long bytes) in _data)
            {
                stream.Position = offset;
                values.Write(stream, bytes);
            }
        }

        var model = new ProtoWriter();
        model.Number(1, IrVersion).Text(2, "LlavaSp.Peers").Message(7, _graph);
        model.Message(8, new ProtoWriter().Text(1, "").Number(2, OpSet)).Message(8, new ProtoWriter().Text(1, Microsoft).Number(2, 1));
        File.WriteAllBytes(path, model.ToArray());
        return path;
    }

    private string Next(string kind) => $"{kind}{_names++}";

    private static ProtoWriter ValueInfo(string name, OnnxType type, object[] shape)
    {
        var dimensions = new ProtoWriter();
        foreach (object size in shape)
            dimensions.Message(1, size is string symbol ? new ProtoWriter().Text(2, symbol) : new ProtoWriter().Number(1, Convert.ToInt64(size, null)));
        var tensor = new ProtoWriter().Number(1, (int)type).Message(2, dimensions);
        return new ProtoWriter().Text(1, name).Message(2, new ProtoWriter().Message(1, tensor));
    }
}
