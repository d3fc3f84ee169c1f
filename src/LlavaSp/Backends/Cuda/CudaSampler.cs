using System.Runtime.InteropServices;

namespace LlavaSp.Backends.Cuda;

/// <summary>Tokens chosen by kernels/sampling.cu: at most three launches, then 8 bytes to the host. What was chosen before is counted on the device.</summary>
internal sealed class CudaSampler : DeviceSampler
{
    // A point in units of 2^-64: exact for every double below 1 that a random generator gives.
    private const double PointUnits = 18446744073709551616.0;

    private readonly CudaDevice _device;
    private readonly SamplingKernels _kernels;
    private readonly SamplingRule _rule;
    private readonly int _vocabulary;
    private readonly DeviceBlock _partial;
    private readonly DeviceBlock _histogram;
    private readonly DeviceBlock _result;
    private readonly DeviceBlock? _scores;
    private readonly DeviceBlock? _counts;

    public CudaSampler(CudaDevice device, SamplingKernels kernels, SamplingRule rule, int vocabulary)
    {
        _device = device;
        _kernels = kernels;
        _rule = rule;
        _vocabulary = vocabulary;
        _partial = device.Allocate(SamplingKernels.BlocksOf(vocabulary) * SamplingKernels.PartialBytes, "sampling");
        _histogram = device.Allocate(SamplingKernels.HistogramBytes, "sampling");
        _result = device.Allocate(SamplingKernels.ResultBytes, "sampling");
        if (!rule.HasPenalties) return;
        // Kernels read four at a time.
        int places = (vocabulary + 3) / 4 * 4;
        _scores = device.Allocate(places * sizeof(float), "penalised scores");
        _counts = device.Allocate(places * sizeof(int), "penalties");
        device.Fill(_counts.Address, 0, places);
    }

    /// <inheritdoc/>
    public override (int Id, bool Drawn) Choose(Tensor logits, double point)
    {
        Queue(logits, point);
        ReadOnlySpan<int> chosen = MemoryMarshal.Cast<byte, int>(_device.Fetch(_result.Address, SamplingKernels.ResultBytes));
        return chosen[0] >= 0
            ? (chosen[0], chosen[1] != 0)
            : throw new LlavaSpException("the model computed NaN instead of logits: its weights are damaged or overflow their format");
    }

    /// <summary>The launches of <see cref="Choose"/>.</summary>
    internal void Queue(Tensor logits, double point)
    {
        CudaTensor x = logits as CudaTensor ?? throw new ArgumentException("the tensor belongs to another backend", nameof(logits));
        if (x is not { Rows: 1, Element: Element.F32 } || x.Columns != _vocabulary)
            throw new ArgumentException($"logits are [{x.Rows}, {x.Columns}], not [1, {_vocabulary}] float32", nameof(logits));
        if (!(point is >= 0 and < 1)) throw new ArgumentOutOfRangeException(nameof(point), point, "a point lies from 0 to below 1");

        ulong partial = _partial.Address, histogram = _histogram.Address, result = _result.Address, counts = _counts?.Address ?? 0;
        ulong scores = _scores?.Address ?? x.Address;
        int partials = SamplingKernels.BlocksOf(_vocabulary);
        _kernels.Scores(new ScoresArguments(
            x.Address, _scores?.Address ?? 0, counts, partial, histogram, _vocabulary, _rule.RepetitionPenalty, _rule.FrequencyPenalty, _rule.PresencePenalty));
        if (_rule.Temperature > 0)
            _kernels.Masses(new MassesArguments(scores, partial, histogram, _vocabulary, partials, _rule.Temperature, _rule.MinP));
        var units = (ulong)(point * PointUnits);
        _kernels.Choose(new ChooseArguments(
            scores, partial, histogram, counts, result, _vocabulary, partials, _rule.Temperature, _rule.TopK, _rule.TopP, _rule.MinP, (uint)units,
            (uint)(units >> 32)));
        GC.KeepAlive(logits);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _partial.Dispose();
            _histogram.Dispose();
            _result.Dispose();
            _scores?.Dispose();
            _counts?.Dispose();
        }

        base.Dispose(disposing);
    }
}
