using LlavaSp.Backends;

namespace LlavaSp.Generation;

/// <summary>
/// Chooses the tokens of one answer by whatever moves least: the backend's argmax, its sampler, or the host's on all logits. A seed gives the same answer with
/// each, up to rounding. Log-probabilities take all logits to the host, but the choice stays on the device. Not thread-safe.
/// </summary>
internal sealed class TokenSampler : IDisposable
{
    private readonly IBackend _backend;
    private readonly SamplingOptions _options;
    private readonly DeviceSampler? _device;
    private readonly Sampler? _host;
    private readonly Random? _random;
    private readonly float[] _logits = [];
    private double? _point;

    /// <summary>Creates a sampler for one answer.</summary>
    /// <param name="backend">Where the logits are; outlives the sampler.</param>
    /// <param name="options">Options; checked here.</param>
    /// <param name="vocabulary">Number of logits.</param>
    /// <exception cref="LlavaSpException">An option is out of range.</exception>
    public TokenSampler(IBackend backend, SamplingOptions options, int vocabulary)
    {
        options.Validate();
        _backend = backend;
        _options = options;
        Seed = options.Seed ?? Random.Shared.Next();
        if (options.IsPlainGreedy) return;
        _device = backend.CreateSampler(options.Rule, vocabulary);
        if (_device is null) _host = new Sampler(options with { Seed = Seed }, vocabulary);
        else if (options.Temperature > 0) _random = new Random(Seed);
        if (_device is null || options.TopLogProbs is not null) _logits = new float[vocabulary];
    }

    /// <summary>The seed in use.</summary>
    public int Seed { get; }

    /// <summary>Log-probability of the last chosen token; NaN when none were asked for.</summary>
    public float ChosenLogProbability { get; private set; } = float.NaN;

    /// <summary>The most likely tokens at the last choice, best first.</summary>
    public TokenLogProbability[] TopLogProbabilities { get; private set; } = [];

    /// <summary>Chooses a token and remembers it for the penalties. Allocates only for log-probabilities.</summary>
    /// <param name="logits">[1, vocabulary].</param>
    /// <exception cref="LlavaSpException">A logit is NaN.</exception>
    public int Choose(Tensor logits)
    {
        if (_options.IsPlainGreedy) return _backend.Argmax(logits);
        if (_logits.Length > 0) logits.Read(_logits);
        if (_host is null) return ChooseOnDevice(logits);
        int id = _host.Choose(_logits);
        (ChosenLogProbability, TopLogProbabilities) = (_host.ChosenLogProbability, _host.TopLogProbabilities);
        return id;
    }

    /// <inheritdoc/>
    public void Dispose() => _device?.Dispose();

    private int ChooseOnDevice(Tensor logits)
    {
        // A number that was not needed is the next choice's, as on the host, which draws only where there is a choice.
        if (_random is not null) _point ??= _random.NextDouble();
        (int id, bool drawn) = _device!.Choose(logits, _point ?? 0);
        if (drawn) _point = null;
        if (_options.TopLogProbs is { } top) (ChosenLogProbability, TopLogProbabilities) = LogProbabilities.Of(_logits, id, top);
        return id;
    }
}
