namespace LlavaSp.Backends;

/// <summary>How a token is chosen, in this order; the ranges are those of <c>SamplingOptions</c>, which the caller has checked.</summary>
/// <param name="RepetitionPenalty">Divides positive and multiplies negative scores of tokens chosen before; 1 is off.</param>
/// <param name="FrequencyPenalty">Subtracted once for every time that a token was chosen; 0 is off.</param>
/// <param name="PresencePenalty">Subtracted from the score of a token that was chosen; 0 is off.</param>
/// <param name="Temperature">0 takes the best token; else scores are divided by it.</param>
/// <param name="TopK">Keeps the first k of the ranking; 0 keeps all.</param>
/// <param name="TopP">Keeps the first tokens whose probability together reaches this; 1 keeps all.</param>
/// <param name="MinP">Keeps tokens of at least this fraction of the best one's probability; 0 keeps all.</param>
public sealed record SamplingRule(
    float RepetitionPenalty, float FrequencyPenalty, float PresencePenalty, float Temperature, int TopK, float TopP, float MinP)
{
    /// <summary>Whether what was chosen before matters.</summary>
    public bool HasPenalties => RepetitionPenalty != 1 || FrequencyPenalty != 0 || PresencePenalty != 0;
}

/// <summary>
/// Chooses the tokens of one answer where the logits are, so that ids alone come to the host. Tokens rank by score, equal ones by id, as in
/// <c>Generation/Sampler.cs</c>: with the same numbers both choose the same tokens, up to rounding. Belongs to the backend's thread.
/// </summary>
public abstract class DeviceSampler : IDisposable
{
    /// <summary>Chooses a token and remembers it for the penalties. Allocates no managed memory.</summary>
    /// <param name="logits">[1, vocabulary].</param>
    /// <param name="point">Where in the distribution, best token first: from 0 to below 1. Ignored where the best token is certain.</param>
    /// <returns>The token, and whether the point mattered.</returns>
    /// <exception cref="LlavaSpException">A logit is NaN.</exception>
    public abstract (int Id, bool Drawn) Choose(Tensor logits, double point);

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees the backend's memory.</summary>
    protected virtual void Dispose(bool disposing) { }
}
