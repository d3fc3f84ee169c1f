using System.Globalization;
using System.Runtime.CompilerServices;
using LlavaSp.Backends.Cuda.Driver;
using LlavaSp.Quantization;

namespace LlavaSp.Backends.Cuda;

/// <summary>
/// Hand-written CUDA kernels (kernels/) on one GPU, or on the emulator. Operations are queued on one stream and return at once; only <see cref="Tensor.Read"/>,
/// <see cref="Argmax"/>, <see cref="CreateSampler"/>'s sampler and <see cref="Synchronize"/> wait. Weights are f16, bf16, int8 or int4; the operands of matrix
/// products are bf16 beside bf16 weights, else f16; the key-value cache is f16 or int8, sums are float32.
/// </summary>
public sealed partial class CudaBackend : IBackend
{
    private readonly CudaDevice _device;
    private readonly CudaModule _module;
    private readonly DeviceOptions _options;
    private DeviceBlock? _scratch;

    /// <summary>Opens the device and loads the kernels.</summary>
    /// <param name="options">Device <c>cuda</c>, <c>cuda:N</c> or <c>cuda-emulator</c>.</param>
    /// <exception cref="DeviceException">There is no such device; the message says what was found.</exception>
    public CudaBackend(DeviceOptions options) : this(options, segmentBytes: null) { }

    /// <summary>As above, with segments of the memory pool of another size, or launches planned for another number of SMs.</summary>
    internal CudaBackend(DeviceOptions options, long? segmentBytes, int? multiprocessors = null)
    {
        bool emulator = options.Device == "cuda-emulator";
        int index = emulator ? 0 : IndexOf(options.Device);
        CudaDriver driver = CudaLibrary.Open(emulator);
        byte[] image = KernelImage.Load(driver);
        _options = options;
        _device = new CudaDevice(driver, index, segmentBytes, multiprocessors);
        try
        {
            _module = new CudaModule(_device, image);
        }
        catch
        {
            _device.Dispose();
            throw;
        }

        string where = emulator ? "the kernels run on this machine's processors" : $"{CudaLibrary.VersionOf(driver)}, device {index}";
        Info = new BackendInfo(
            emulator ? "cuda-emulator" : "cuda", $"sm_{_device.ComputeCapability} {_device.Name}", _device.Multiprocessors,
            $"{options.Device} was asked for; {where}; {_device.Multiprocessors} SMs");
    }

    /// <inheritdoc/>
    public BackendInfo Info { get; }

    /// <inheritdoc/>
    public long PeakDeviceBytes => _device.Pool.PeakBytes;

    /// <inheritdoc/>
    public long DeviceBytes => _device.Pool.TotalBytes;

    /// <summary>The device.</summary>
    internal CudaDevice Device => _device;

    /// <summary>Whether decode steps run as CUDA graphs; without, every launch is made by itself, with the same results.</summary>
    internal bool RecordsSteps { get; set; } = true;

    /// <summary>What tensors of <see cref="Precision.Operand"/> hold: bf16 beside bf16 weights, else f16.</summary>
    internal Element OperandElement { get; private set; } = Element.F16;

    /// <summary>Its kernels.</summary>
    internal CudaModule Module => _module;

    /// <summary>Whether a GPU is there and this build has kernels for it. The emulator does not count.</summary>
    /// <param name="problem">Why not, as one line.</param>
    public static bool IsAvailable(out string problem)
    {
        try
        {
            CudaDriver driver = CudaLibrary.Open(emulator: false);
            problem = KernelImage.IsEmbedded ? "" : $"{driver.Path} has a device, but this build has no kernels for it";
        }
        catch (DeviceException e)
        {
            problem = e.Message;
        }

        return problem.Length == 0;
    }

    /// <inheritdoc/>
    public WeightFormat DefaultFormat(WeightFormat stored) =>
        stored.IsInteger || (stored == WeightFormat.BF16 && _device.HasBF16) ? stored : WeightFormat.F16;

    /// <inheritdoc/>
    /// <exception cref="DeviceException">The device is too old for bf16.</exception>
    public void UseWeights(WeightFormat format)
    {
        if (format.Kind == WeightKind.BF16) _device.RequireBF16();
        OperandElement = format.Kind == WeightKind.BF16 ? Element.BF16 : Element.F16;
    }

    /// <inheritdoc/>
    public bool Holds(WeightFormat format) => format.IsInteger || format == (OperandElement == Element.BF16 ? WeightFormat.BF16 : WeightFormat.F16);

    /// <inheritdoc/>
    public bool Holds(KvFormat format) => CudaKvCache.Holds(format);

    /// <inheritdoc/>
    public Tensor CreateTensor(int rows, int columns, Precision precision = Precision.Full)
    {
        _device.Pool.Reclaim();
        Element element = precision switch
        {
            Precision.Operand => OperandElement,
            Precision.Query => Element.F16,
            _ => Element.F32,
        };
        return CudaTensor.Create(_device, rows, columns, element);
    }

    /// <inheritdoc/>
    public IStepRecorder? CreateStepRecorder() => RecordsSteps ? new StepGraph(_device) : null;

    /// <inheritdoc/>
    public IWorkClock CreateClock() => new CudaClock(_device);

    /// <inheritdoc/>
    public void Synchronize() => _device.Synchronize();

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_device.Context.IsClosed) return;
        _packer?.Dispose();
        _module.Dispose();
        _device.Dispose();
    }

    /// <summary>
    /// Device memory for the inside of one operation: its contents are lost to the next one that asks. Grows and stays, so that a decode step allocates
    /// nothing.
    /// </summary>
    internal ulong Scratch(long bytes)
    {
        if (_scratch is null || _scratch.Bytes < bytes)
        {
            _scratch?.Dispose();
            _scratch = null;
            _scratch = _device.Allocate(Math.Max(bytes, 1 << 16), "the working memory of an operation");
        }

        return _scratch.Address;
    }

    private static CudaTensor Of(Tensor tensor) => tensor as CudaTensor ?? throw new ArgumentException("the tensor belongs to another backend", nameof(tensor));

    private static CudaWeight Of(Weight weight) => weight as CudaWeight ?? throw new ArgumentException("the weight belongs to another backend", nameof(weight));

    /// <summary>A mismatch of shapes is a defect of the caller; the device never sees it.</summary>
    private static void Require(bool condition, string problem, [CallerMemberName] string operation = "")
    {
        if (!condition) throw new ArgumentException($"{operation}: {problem}");
    }

    /// <summary>As above, with a text that is put together only for the exception.</summary>
    private static void Require(
        bool condition, [InterpolatedStringHandlerArgument(nameof(condition))] ref ProblemText problem, [CallerMemberName] string operation = "")
    {
        if (!condition) throw new ArgumentException($"{operation}: {problem.Take()}");
    }

    /// <summary>The objects that own the memory must stay reachable until the work on it is queued.</summary>
    private static void Keep(object? first, object? second, object? third = null, object? fourth = null)
    {
        GC.KeepAlive(first);
        GC.KeepAlive(second);
        GC.KeepAlive(third);
        GC.KeepAlive(fourth);
    }

    private static int IndexOf(string device)
    {
        string[] parts = device.Split(':', 2);
        int index = 0;
        bool known = parts[0] == "cuda" && (parts.Length == 1 || int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out index));
        return known ? index : throw new DeviceException($"unknown device '{device}': use cuda, or cuda:1 for the second GPU");
    }
}
