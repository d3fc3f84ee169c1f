using System.Globalization;
using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Checkpoints;
using LlavaSp.Graph;
using LlavaSp.Quantization;

namespace LlavaSp.Cli.Bench.Kernels;

/// <summary>
/// Every kernel that the published 7B model launches, at every shape that it launches it with: one picture or four, a prompt of 640 positions, a token at
/// position 1024 of one sequence or four. Which kernel computes a product depends on the number of SMs, as in the graph.
/// </summary>
internal sealed partial class KernelCases
{
    /// <summary>Positions of the prompt: the picture's 582 and 58 tokens of text.</summary>
    public const int PrefillRows = 640;

    /// <summary>Positions that a decoded token sees, its own included.</summary>
    public const int DecodeLength = 1024;

    /// <summary>The shape whose kernels these are.</summary>
    public const string Model = "llava-sp-7b";

    /// <summary>Weight formats, as on the command line.</summary>
    public static readonly IReadOnlyList<string> Formats = ["f16", "int8", "int4"];

    /// <summary>Element types of the key-value cache.</summary>
    public static readonly IReadOnlyList<KvFormat> KvFormats = [KvFormat.F16, KvFormat.Int8];

    /// <summary>Pictures or sequences at once.</summary>
    public static readonly IReadOnlyList<int> Batches = [1, 4];

    private readonly List<KernelCase> _cases = [];
    private readonly Dictionary<(string Name, string Model), double> _launches = [];
    private readonly int _multiprocessors;
    private readonly DecoderConfig _decoder;
    private readonly VisionConfig _vision;
    private readonly SpatialConfig _spatial;

    // Whose launches are being added: a model has one format, and either kind of activations.
    private string _model = "";

    private KernelCases(int multiprocessors)
    {
        _multiprocessors = multiprocessors;
        using ModelCheckpoint checkpoint = SyntheticModel.Create(Model, SpatialMode.Cropping);
        (_decoder, _vision, _spatial) = (checkpoint.Decoder, checkpoint.Vision, checkpoint.Spatial);
    }

    /// <summary>The list for a device of so many SMs, in the order of the graph.</summary>
    public static IReadOnlyList<KernelCase> All(int multiprocessors)
    {
        var cases = new KernelCases(multiprocessors);
        WeightPlan[] plans = [.. Formats.Select(static text => WeightPlan.For(WeightFormat.Parse(text)))];
        foreach (int batch in Batches) cases.AddVision(Distinct(plans, static plan => plan.Vision), batch);
        foreach (int batch in Batches) cases.AddSpatialTokens(plans, batch);
        foreach (int batch in Batches) cases.AddProjector(Distinct(plans, static plan => plan.Vision), batch);
        cases.AddPrefill(plans);
        foreach (int batch in Batches) cases.AddDecode(plans, batch);
        cases.AddNextToken();
        cases.AddOtherForms();
        return cases._cases;
    }

    // Several plans give a stage the same format.
    private static WeightFormat[] Distinct(WeightPlan[] plans, Func<WeightPlan, WeightFormat> part) => [.. plans.Select(part).Distinct()];

    /// <summary>Adds a case, or the launches of one that is there: those of one model, which has one weight format.</summary>
    private void Add(KernelCase added)
    {
        (string, string) key = (added.Name, _model);
        double launches = _launches[key] = _launches.GetValueOrDefault(key) + added.Launches;
        int same = _cases.FindIndex(known => known.Name == added.Name);
        if (same < 0) _cases.Add(added);
        else _cases[same] = _cases[same] with { Launches = Math.Max(_cases[same].Launches, launches) };
    }

    /// <summary>A kernel of an operation that is no product.</summary>
    private void Add(
        string stage, string kernel, string shape, string weights, int batch, double launches, double bytes,
        Func<CudaBackend, (Action, IDisposable?[])> build, double operations = 0, ArithmeticUnit unit = ArithmeticUnit.Scalar) => Add(new KernelCase(stage, kernel, shape, weights, batch)
        {
            Launches = launches,
            MinimumBytes = bytes,
            Operations = operations,
            Unit = unit,
            Prepare = backend =>
            {
                (Action operation, IDisposable?[] memory) = build(backend);
                return new PreparedCase(backend, kernel, operation, memory);
            },
        });

    /// <summary>An operation from one tensor [rows, columns] to another.</summary>
    private void AddRows(
        string stage, string kernel, int rows, int columns, (Precision To, Precision From) types, int batch, double launches,
        Action<CudaBackend, CudaTensor, CudaTensor> operation, string what) => Add(
            stage, kernel, Invariant($"{what} {rows} x {columns}"), "", batch, launches,
            (double)rows * columns * (Bytes(types.To) + Bytes(types.From)), backend =>
            {
                CudaTensor y = backend.CreateFilledTensor(rows, columns, types.To), x = backend.CreateFilledTensor(rows, columns, types.From);
                return (() => operation(backend, y, x), [y, x]);
            });

    private void AddNorm(string stage, bool centred, int rows, int columns, int batch, double launches) => AddRows(
        stage, centred ? "layer_norm_f16_f32" : "rms_norm_f16_f32", rows, columns, (Precision.Operand, Precision.Full), batch, launches, (backend, y, x) =>
        {
            using CudaTensor weight = backend.CreateFilledTensor(1, columns), bias = backend.CreateFilledTensor(1, columns);
            if (centred) backend.LayerNorm(y, x, weight, bias, 1e-5f);
            else backend.RmsNorm(y, x, weight, 1e-5f);
        }, "normalise");

    private static int Bytes(Precision precision) => precision == Precision.Full ? sizeof(float) : sizeof(ushort);

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
