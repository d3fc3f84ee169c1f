namespace LlavaSp.Generation;

/// <summary>
/// Chooses the next token from logits. Order as in transformers: penalties, temperature, top-k, top-p, min-p. Tokens rank by score, equal ones by id,
/// so that a seed gives the same answer everywhere. Not thread-safe. Allocates only for log-probabilities.
/// </summary>
public sealed class Sampler
{
    private readonly SamplingOptions _options;
    private readonly Random _random;
    private readonly float[] _scores;
    private readonly float[] _probabilities;
    private readonly TokenRanking _ranking;
    private readonly int[] _counts;
    private readonly int[] _seen;
    private int _seenCount;

    /// <summary>Creates a sampler for one answer.</summary>
    /// <param name="options">Options; checked here.</param>
    /// <param name="vocabulary">Number of logits.</param>
    /// <exception cref="LlavaSpException">An option is out of range.</exception>
    public Sampler(SamplingOptions options, int vocabulary)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(vocabulary, 1);
        options.Validate();
        _options = options;
        Seed = options.Seed ?? Random.Shared.Next();
        _random = new Random(Seed);
        int drawn = options.Temperature == 0 ? 0 : vocabulary, penalised = options.HasPenalties ? vocabulary : 0;
        _scores = new float[Math.Max(drawn, penalised)];
        _probabilities = new float[drawn];
        _ranking = new TokenRanking(drawn);
        _counts = new int[penalised];
        _seen = new int[penalised];
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

        if (_scores.Length > 0) logits.CopyTo(_scores);
        if (_options.HasPenalties) ApplyPenalties();
        int chosen = _options.Temperature == 0 ? LogProbabilities.Best(_scores.Length > 0 ? _scores : logits) : Draw();
        if (_options.TopLogProbs is { } top) (ChosenLogProbability, TopLogProbabilities) = LogProbabilities.Of(logits, chosen, top);
        if (_options.HasPenalties && _counts[chosen]++ == 0) _seen[_seenCount++] = chosen;
        return chosen;
    }

    private void ApplyPenalties()
    {
        foreach (int id in _seen.AsSpan(0, _seenCount))
        {
            ref float score = ref _scores[id];
            score = score > 0 ? score / _options.RepetitionPenalty : score * _options.RepetitionPenalty;
            score -= _counts[id] * _options.FrequencyPenalty + _options.PresencePenalty;
        }
    }

    private int Draw()
    {
        int first = LogProbabilities.Best(_scores);
        float best = _scores[first];
        if (!float.IsFinite(best)) return first;

        // Probabilities relative to the best token's: the common factor falls out of everything below.
        double total = 0, aboveFloor = 0;
        for (int i = 0; i < _scores.Length; i++)
        {
            float p = _probabilities[i] = MathF.Exp((_scores[i] - best) / _options.Temperature);
            total += p;
            if (p >= _options.MinP) aboveFloor += p;
        }

        // Ranks are worked out one by one, and most answers need only a few of them.
        _ranking.Start(_scores);
        int kept = _scores.Length;
        double mass = aboveFloor;
        if (_options.TopK > 0 && _options.TopK < kept)
        {
            kept = _options.TopK;
            (_, total) = Keep(kept, double.PositiveInfinity, 0);
            (kept, mass) = Keep(kept, _options.TopP < 1 ? _options.TopP * total : double.PositiveInfinity, _options.MinP);
        }
        else if (_options.TopP < 1)
        {
            (kept, mass) = Keep(kept, _options.TopP * total, _options.MinP);
        }

        double target = _random.NextDouble() * mass;
        int chosen = first;
        for (int rank = 0; rank < kept; rank++)
        {
            int id = _ranking[rank];
            // Rounding can leave a rest when all that may be drawn was passed.
            if (_probabilities[id] == 0 || _probabilities[id] < _options.MinP) break;
            chosen = id;
            target -= _probabilities[id];
            if (target < 0) break;
        }

        return chosen;
    }

    /// <summary>The first ranks, at most <paramref name="most"/>, until their mass reaches a limit or one falls below a floor; never none.</summary>
    private (int Count, double Mass) Keep(int most, double limit, float floor)
    {
        double mass = 0;
        int count = 0;
        while (count < most && (count == 0 || mass < limit) && _probabilities[_ranking[count]] >= floor) mass += _probabilities[_ranking[count++]];
        return (count, mass);
    }
}
