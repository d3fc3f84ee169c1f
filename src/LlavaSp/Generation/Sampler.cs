namespace LlavaSp.Generation;

/// <summary>A token and its log-probability (natural logarithm) under the model, before temperature, penalties and filters.</summary>
/// <param name="Id">Token id.</param>
/// <param name="LogProbability">ln p.</param>
public readonly record struct TokenLogProbability(int Id, float LogProbability);

/// <summary>
/// Chooses the next token from logits. Order as in transformers: penalties, temperature, top-k, top-p, min-p.
/// </summary>
public sealed class Sampler
{
    private readonly SamplingOptions _options;
    private readonly Random _random;
    private readonly float[] _scores;
    private readonly int[] _order;
    private readonly Dictionary<int, int> _counts = [];

    /// <summary>Creates a sampler for one answer.</summary>
    /// <param name="options">Options; checked here.</param>
    /// <param name="vocabulary">Number of logits.</param>
    public Sampler(SamplingOptions options, int vocabulary)
    {
        options.Validate();
        _options = options;
        Seed = options.Seed ?? Random.Shared.Next();
        _random = new Random(Seed);
        _scores = new float[vocabulary];
        _order = new int[vocabulary];
    }

    /// <summary>The seed in use.</summary>
    public int Seed { get; }

    /// <summary>Log-probability of the last chosen token; NaN when none were asked for.</summary>
    public float ChosenLogProbability { get; private set; } = float.NaN;

    /// <summary>The most likely tokens at the last choice, best first.</summary>
    public TokenLogProbability[] TopLogProbabilities { get; private set; } = [];

    /// <summary>Chooses a token and remembers it for the penalties.</summary>
    /// <param name="logits">[vocabulary].</param>
    /// <exception cref="LlavaSpException">A logit is NaN.</exception>
    public int Choose(ReadOnlySpan<float> logits)
    {
        foreach (float logit in logits)
        {
            if (float.IsNaN(logit)) throw new LlavaSpException("the model computed NaN instead of logits: its weights are damaged or overflow their format");
        }

        logits.CopyTo(_scores);
        ApplyPenalties();
        int chosen = _options.Temperature == 0 ? Best(_scores) : Draw();
        if (_options.TopLogProbs is { } top) Report(logits, chosen, top);
        _counts[chosen] = _counts.GetValueOrDefault(chosen) + 1;
        return chosen;
    }

    private void ApplyPenalties()
    {
        foreach ((int id, int count) in _counts)
        {
            ref float score = ref _scores[id];
            score = score > 0 ? score / _options.RepetitionPenalty : score * _options.RepetitionPenalty;
            score -= count * _options.FrequencyPenalty + _options.PresencePenalty;
        }
    }

    private int Draw()
    {
        for (int i = 0; i < _order.Length; i++) _order[i] = i;
        // Best first; equal scores by id, so that a seed gives the same answer everywhere.
        _order.AsSpan().Sort((a, b) => _scores[a] != _scores[b] ? _scores[b].CompareTo(_scores[a]) : a.CompareTo(b));
        int kept = _options.TopK > 0 ? Math.Min(_options.TopK, _order.Length) : _order.Length;
        float best = _scores[_order[0]];
        if (!float.IsFinite(best)) return _order[0];
        var total = 0.0;
        for (int i = 0; i < kept; i++) total += _scores[_order[i]] = Probability(_scores[_order[i]]);

        double limit = _options.TopP * total, floor = _options.MinP * _scores[_order[0]], mass = 0;
        int last = 0;
        for (int i = 0; i < kept && (i == 0 || mass < limit) && _scores[_order[i]] >= floor; i++)
        {
            mass += _scores[_order[i]];
            last = i;
        }

        double target = _random.NextDouble() * mass;
        for (int i = 0; i < last; i++)
        {
            target -= _scores[_order[i]];
            if (target < 0) return _order[i];
        }

        return _order[last];

        float Probability(float score) => MathF.Exp((score - best) / _options.Temperature);
    }

    private void Report(ReadOnlySpan<float> logits, int chosen, int top)
    {
        float best = logits[Best(logits)];
        double sum = 0;
        foreach (float logit in logits) sum += Math.Exp(logit - best);
        double normaliser = best + Math.Log(sum);
        ChosenLogProbability = (float)(logits[chosen] - normaliser);
        float[] values = logits.ToArray();
        TopLogProbabilities = [.. Enumerable.Range(0, values.Length)
            .OrderByDescending(id => values[id]).Take(top).Select(id => new TokenLogProbability(id, (float)(values[id] - normaliser)))];
    }

    private static int Best(ReadOnlySpan<float> scores)
    {
        int best = 0;
        for (int i = 1; i < scores.Length; i++)
        {
            if (scores[i] > scores[best]) best = i;
        }

        return best;
    }
}
