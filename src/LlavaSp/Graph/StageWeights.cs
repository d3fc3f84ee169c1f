using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Quantization;

namespace LlavaSp.Graph;

/// <summary>Creates the weights of one stage on a backend and owns them.</summary>
internal sealed class StageWeights(IBackend backend, TensorCatalog catalog) : IDisposable
{
    private readonly List<IDisposable> _owned = [];

    /// <summary>Bytes of all matrices of the stage as the backend holds them.</summary>
    public long ByteLength { get; private set; }

    /// <summary>Multiply-accumulates of one pass of one row through all matrices of the stage.</summary>
    public long Elements { get; private set; }

    /// <summary>The tensors that the stage reads.</summary>
    public TensorCatalog Catalog => catalog;

    /// <summary>A matrix [rows, columns].</summary>
    public Weight Matrix(string name, long rows, long columns, WeightFormat format) => Create(catalog.Matrix(name, rows, columns), format);

    /// <summary>Any matrix.</summary>
    public Weight Create(WeightSource source, WeightFormat format)
    {
        Weight weight = backend.CreateWeight(source, format);
        _owned.Add(weight);
        ByteLength += weight.ByteLength;
        Elements += weight.Rows * weight.Columns;
        return weight;
    }

    /// <summary>A vector [1, elements].</summary>
    public Tensor Vector(string name, int elements) => Table(name, 1, elements);

    /// <summary>A vector that need not be there.</summary>
    public Tensor? OptionalVector(string name, int elements) => catalog.Has(name) ? Vector(name, elements) : null;

    /// <summary>A float32 table [rows, columns].</summary>
    public Tensor Table(string name, int rows, int columns)
    {
        Tensor tensor = backend.CreateTensor(rows, columns);
        _owned.Add(tensor);
        tensor.Write(catalog.Vector(name, (long)rows * columns));
        return tensor;
    }

    /// <summary>Several vectors side by side: the biases of a stacked product; null when the first is missing.</summary>
    public Tensor? StackedVector(params ReadOnlySpan<(string Name, int Elements)> parts)
    {
        if (!catalog.Has(parts[0].Name)) return null;
        var values = new List<float>();
        foreach ((string name, int elements) in parts) values.AddRange(catalog.Vector(name, elements));
        Tensor tensor = backend.CreateTensor(1, values.Count);
        _owned.Add(tensor);
        tensor.Write(values.ToArray());
        return tensor;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (IDisposable item in _owned) item.Dispose();
        _owned.Clear();
    }
}
