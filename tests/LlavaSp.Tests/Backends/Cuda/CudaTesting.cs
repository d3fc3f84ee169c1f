using System.Runtime.CompilerServices;
using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Backends.Cuda.Driver;
using LlavaSp.Backends.Reference;
using LlavaSp.Checkpoints;
using LlavaSp.Quantization;
using LlavaSp.Tests.Generation;

namespace LlavaSp.Tests.Backends.Cuda;

/// <summary>What the tests of the CUDA backend share. They run on the emulator; LLAVA_SP_TEST_CUDA=cuda runs them on a GPU.</summary>
internal static class CudaTesting
{
    public static string Device => Environment.GetEnvironmentVariable("LLAVA_SP_TEST_CUDA") is { Length: > 0 } name ? name : "cuda-emulator";

    /// <summary>What is said where the emulator was not built: the one reason to skip its tests.</summary>
    public const string EmulatorMissing = "the CUDA emulator was not found";

    /// <summary>Both precisions of what operations read and write.</summary>
    public static readonly Precision[] FullAndOperand = [Precision.Full, Precision.Operand];

    /// <summary>
    /// The backend, activations never below 16 bits unless wanted, operands as the weights want them; skips the test only where the emulator was not built.
    /// </summary>
    public static CudaBackend Create(
        long? segmentBytes = null, bool int8Activations = false, WeightFormat? weights = null, int? multiprocessors = null, string? device = null)
    {
        device ??= Device;
        try
        {
            CudaLibrary.Open(device == "cuda-emulator");
        }
        catch (DeviceException e) when (e.Message.Contains(EmulatorMissing, StringComparison.Ordinal))
        {
            Assert.Skip(e.Message);
        }

        var backend = new CudaBackend(new DeviceOptions(device, Int8Activations: int8Activations), segmentBytes, multiprocessors);
        if (weights is { } format) backend.UseWeights(format);
        return backend;
    }

    /// <summary>A golden checkpoint on a backend of the test's own.</summary>
    public static LlavaSpModel Load(string weights, Action<CudaBackend>? configure = null, long? segmentBytes = null, KvFormat? kv = null)
    {
        var options = new LoadOptions { VisionTower = TestModels.VisionTower, Weights = WeightFormat.Parse(weights), KvFormat = kv };
        using ModelCheckpoint checkpoint = ModelCheckpoint.Open(new ModelLocation(Goldens.Checkpoint("pooling-f32"), null, TestModels.VisionTower));
        return LlavaSpModel.Load(checkpoint, null, options, 0, _ =>
        {
            CudaBackend cuda = Create(segmentBytes);
            configure?.Invoke(cuda);
            return cuda;
        });
    }

    /// <summary>A tensor with the given numbers; as an operand, they are rounded to its element type on any backend.</summary>
    public static Tensor Tensor(IBackend backend, Precision precision, int rows, int columns, float[] values, Element operand = Element.F16)
    {
        Tensor tensor = backend.CreateTensor(rows, columns, precision);
        tensor.Write(precision == Precision.Operand ? Rounded(values, operand) : values);
        return tensor;
    }

    /// <summary>Numbers as an element type holds them.</summary>
    public static float[] Rounded(float[] values, Element element) => element switch
    {
        Element.F16 => Array.ConvertAll(values, static x => (float)(Half)x),
        Element.BF16 => Array.ConvertAll(values, static x => Bf16.Widen(Bf16.Narrow(x))),
        _ => values,
    };

    /// <summary>Half the distance of neighbouring numbers of an element type, relative to them: what one rounding may change.</summary>
    public static float RoundingOf(Element element) => element == Element.F16 ? 1f / 2048 : element == Element.BF16 ? 1f / 256 : 0;

    /// <summary>Both precisions of a destination with both of a source.</summary>
    public static IEnumerable<(Precision To, Precision From)> Precisions() =>
        from to in FullAndOperand from source in FullAndOperand select (to, source);
}

/// <summary>The same operation on the CUDA backend and on the reference.</summary>
/// <param name="int8Activations">Whether 8-bit weights lie as products with 8-bit activations want them.</param>
/// <param name="operand">F16 or BF16.</param>
internal sealed class CudaPair(bool int8Activations = false, Element operand = Element.F16, int? multiprocessors = null) : IDisposable
{
    public CudaBackend Cuda { get; } = CudaTesting.Create(
        int8Activations: int8Activations, weights: operand == Element.BF16 ? WeightFormat.BF16 : null, multiprocessors: multiprocessors);

    /// <summary>What <see cref="Precision.Operand"/> is.</summary>
    public Element Operand => operand;

    public ReferenceBackend Reference { get; } = new();

    /// <summary>A tensor of either backend with the given numbers; as an operand, they are rounded to its element type.</summary>
    public Tensor Tensor(IBackend backend, Precision precision, int rows, int columns, float[] values) =>
        CudaTesting.Tensor(backend, precision, rows, columns, values, operand);

    /// <summary>Runs an operation on both and compares what it leaves in a tensor [rows, columns]; an operand may be off by its rounding as well.</summary>
    public void Same(
        Precision precision, int rows, int columns, float tolerance, Action<IBackend, Tensor> operation,
        [CallerArgumentExpression(nameof(operation))] string what = "")
    {
        float[][] results = [.. new IBackend[] { Reference, Cuda }.Select(backend =>
        {
            using Tensor destination = Tensor(backend, precision, rows, columns, CpuTesting.Random(rows * columns, 99));
            operation(backend, destination);
            return destination.ToArray();
        })];
        for (int i = 0; i < results[0].Length; i++)
        {
            float expected = results[0][i], actual = results[1][i];
            float allowed = tolerance + (precision == Precision.Operand ? MathF.Max(MathF.Abs(expected) * CudaTesting.RoundingOf(operand), 3e-8f) : 0);
            Assert.True(MathF.Abs(expected - actual) <= allowed, $"{what} [{rows}, {columns}] {precision}: element {i} is {actual}, not {expected}");
        }
    }

    public void Dispose() => Cuda.Dispose();
}
