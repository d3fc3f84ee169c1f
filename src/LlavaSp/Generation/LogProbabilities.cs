namespace LlavaSp.Generation;

/// <summary>A token and its log-probability (natural logarithm) under the model, before temperature, penalties and filters.</summary>
/// <param name="Id">Token id.</param>
/// <param name="LogProbability">ln p.</param>
public readonly record struct TokenLogProbability(int Id, float LogProbability);

/// <summary>Log-softmax of logits without NaN. Where the largest is infinite, those that equal it share the whole probability.</summary>
internal static class LogProbabilities
{
    /// <summary>Index of the largest logit, the first of equals.</summary>
    public static int Best(ReadOnlySpan<float> logits)
    {
        int best = 0;
        for (int i = 1; i < logits.Length; i++)
        {
            if (logits[i] > logits[best]) best = i;
        }

        return best;
    }

    /// <summary>Log-probability of one token, and of the <paramref name="top"/> most likely ones, best first, equal ones by id.</summary>
    public static (float Chosen, TokenLogProbability[] Top) Of(ReadOnlySpan<float> logits, int chosen, int top)
    {
        float best = logits[Best(logits)];
        double sum = 0;
        foreach (float logit in logits) sum += Math.Exp(Below(logit, best));
        double normaliser = Math.Log(sum);

        var ranked = new TokenLogProbability[Math.Min(top, logits.Length)];
        int count = 0;
        for (int id = 0; id < logits.Length && ranked.Length > 0; id++)
        {
            if (count == ranked.Length && !(logits[id] > logits[ranked[^1].Id])) continue;
            int place = count < ranked.Length ? count++ : count - 1;
            for (; place > 0 && logits[id] > logits[ranked[place - 1].Id]; place--) ranked[place] = ranked[place - 1];
            ranked[place] = new TokenLogProbability(id, (float)(Below(logits[id], best) - normaliser));
        }

        return ((float)(Below(logits[chosen], best) - normaliser), ranked);
    }

    /// <summary>Distance to the best, 0 for an infinite one's equals.</summary>
    private static double Below(float logit, float best) => logit == best ? 0 : (double)logit - best;
}
