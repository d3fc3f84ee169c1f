using LlavaSp.Generation;

namespace LlavaSp.Tests.Generation;

/// <summary>What a sampler may choose and with which probability, written down step by step with sorted lists.</summary>
internal static class SamplerOracle
{
    /// <summary>Tokens that may be chosen, best first, with their probabilities (sum 1).</summary>
    /// <param name="logits">[vocabulary].</param>
    /// <param name="history">Tokens chosen so far.</param>
    /// <param name="options">Temperature above 0.</param>
    public static List<(int Id, double Probability)> Distribution(float[] logits, IReadOnlyList<int> history, SamplingOptions options)
    {
        float[] scores = Penalised(logits, history, options);
        List<int> ranked = [.. Enumerable.Range(0, scores.Length).OrderByDescending(id => scores[id]).ThenBy(id => id)];
        float best = scores[ranked[0]];
        if (!float.IsFinite(best)) return [(ranked[0], 1)];
        double Weight(int id) => MathF.Exp((scores[id] - best) / options.Temperature);

        if (options.TopK > 0) ranked = [.. ranked.Take(options.TopK)];
        double total = ranked.Sum(Weight), mass = 0;
        var nucleus = new List<int>();
        foreach (int id in ranked)
        {
            if (options.TopP < 1 && nucleus.Count > 0 && mass >= options.TopP * total) break;
            nucleus.Add(id);
            mass += Weight(id);
        }

        List<int> kept = [.. nucleus.Where(id => Weight(id) >= options.MinP && Weight(id) > 0)];
        double sum = kept.Sum(Weight);
        return [.. kept.Select(id => (id, Weight(id) / sum))];
    }

    /// <summary>The token at a point of the distribution.</summary>
    public static int At(List<(int Id, double Probability)> distribution, double point)
    {
        foreach ((int id, double probability) in distribution)
        {
            point -= probability;
            if (point < 0) return id;
        }

        return distribution[^1].Id;
    }

    public static float[] Penalised(float[] logits, IReadOnlyList<int> history, SamplingOptions options)
    {
        float[] scores = [.. logits];
        foreach (IGrouping<int, int> group in history.GroupBy(id => id))
        {
            float score = scores[group.Key];
            score = score > 0 ? score / options.RepetitionPenalty : score * options.RepetitionPenalty;
            scores[group.Key] = score - (group.Count() * options.FrequencyPenalty + options.PresencePenalty);
        }

        return scores;
    }
}
