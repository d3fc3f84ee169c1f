using System.Globalization;
using System.Text.RegularExpressions;
using LlavaSp.Backends;
using LlavaSp.Checkpoints;

namespace LlavaSp.Graph;

/// <summary>
/// Projector of the patches (upstream multimodal_projector/builder.py): linear, mlpNx_gelu or identity.
/// </summary>
internal sealed partial class Projector : IDisposable
{
    private readonly IBackend _backend;
    private readonly (Weight Matrix, Tensor Bias)[] _layers;

    private Projector(IBackend backend, (Weight Matrix, Tensor Bias)[] layers, StageWeights weights)
    {
        _backend = backend;
        _layers = layers;
        Weights = weights;
    }

    /// <summary>Bytes and elements.</summary>
    public StageWeights Weights { get; }

    /// <summary>Loads the stage.</summary>
    /// <param name="backend">Where it will run.</param>
    /// <param name="catalog">The checkpoint's tensors.</param>
    /// <param name="type">mm_projector_type.</param>
    /// <param name="channels">Width of the patch features.</param>
    /// <param name="hidden">Width of the decoder.</param>
    /// <param name="plan">Weight formats.</param>
    public static Projector Load(IBackend backend, TensorCatalog catalog, string type, int channels, int hidden, WeightPlan plan)
    {
        var weights = new StageWeights(backend, catalog);
        if (type == "identity")
        {
            if (channels != hidden) throw new CheckpointException($"config.json: an identity projector cannot lead from width {channels} to {hidden}");
            return new Projector(backend, [], weights);
        }

        var layers = LayerNames(type).Select((name, i) => (
            weights.Matrix($"{name}.weight", hidden, i == 0 ? channels : hidden, plan.Vision), weights.Vector($"{name}.bias", hidden))).ToArray();
        return new Projector(backend, layers, weights);
    }

    /// <summary>Canonical names of the linear layers of a projector.</summary>
    /// <param name="type">mm_projector_type.</param>
    /// <exception cref="CheckpointException">The type is unknown.</exception>
    public static string[] LayerNames(string type)
    {
        if (type == "identity") return [];
        if (type == "linear") return ["mm_projector"];
        Match mlp = MlpName().Match(type);
        if (!mlp.Success) throw new CheckpointException($"config.json: 'mm_projector_type' is '{type}', known are linear, mlpNx_gelu and identity");
        // A linear projector is one module, an MLP a sequence with a GELU at every odd place.
        return [.. Enumerable.Range(0, int.Parse(mlp.Groups[1].ValueSpan, CultureInfo.InvariantCulture)).Select(i => $"mm_projector.{2 * i}")];
    }

    /// <summary>Projects features [n, channels] to <paramref name="destination"/> [n, hidden].</summary>
    public void Project(Tensor destination, Tensor features)
    {
        if (_layers.Length == 0)
        {
            _backend.Copy(destination, features);
            return;
        }

        Tensor? inner = null;
        for (int i = 0; i < _layers.Length; i++)
        {
            bool last = i == _layers.Length - 1;
            Tensor output = last ? destination : _backend.CreateTensor(features.Rows, destination.Columns, Precision.Operand);
            _backend.Linear(output, inner ?? features, _layers[i].Matrix, new Epilogue(_layers[i].Bias, last ? Activation.None : Activation.Gelu));
            inner?.Dispose();
            inner = last ? null : output;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Weights.Dispose();

    [GeneratedRegex("^mlp([1-9])x_gelu$", RegexOptions.CultureInvariant)]
    private static partial Regex MlpName();
}
