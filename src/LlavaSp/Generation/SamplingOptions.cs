using LlavaSp.Backends;

namespace LlavaSp.Generation;

/// <summary>
/// How the next token is chosen. The defaults are greedy. The penalties count the tokens of the answer alone: upstream generates from embeddings, so that
/// transformers' processors never see the prompt's ids.
/// </summary>
public sealed record SamplingOptions
{
    /// <summary>0 is greedy; else logits are divided by it.</summary>
    public float Temperature { get; init; }

    /// <summary>Keeps the k most likely tokens; 0 keeps all.</summary>
    public int TopK { get; init; }

    /// <summary>Keeps the smallest set of most likely tokens whose probability reaches this (nucleus); 1 keeps all.</summary>
    public float TopP { get; init; } = 1;

    /// <summary>Keeps tokens of at least this fraction of the most likely one's probability; 0 keeps all.</summary>
    public float MinP { get; init; }

    /// <summary>Divides positive and multiplies negative logits of tokens that already stand in the answer (CTRL); 1 is off.</summary>
    public float RepetitionPenalty { get; init; } = 1;

    /// <summary>Subtracted from the logit of a token once for every time that it stands in the answer; 0 is off.</summary>
    public float FrequencyPenalty { get; init; }

    /// <summary>Subtracted from the logit of a token that stands in the answer; 0 is off.</summary>
    public float PresencePenalty { get; init; }

    /// <summary>Seed of the random numbers; null takes a fresh one, which the result reports.</summary>
    public int? Seed { get; init; }

    /// <summary>How many of the most likely tokens are reported with their log-probabilities; null reports none, 0 only that of the chosen one.</summary>
    public int? TopLogProbs { get; init; }

    /// <summary>Whether the backend's argmax alone decides.</summary>
    internal bool IsPlainGreedy => Temperature == 0 && !HasPenalties && TopLogProbs is null;

    /// <summary>Whether what was chosen before matters.</summary>
    internal bool HasPenalties => RepetitionPenalty != 1 || FrequencyPenalty != 0 || PresencePenalty != 0;

    /// <summary>What a backend's sampler needs to know.</summary>
    internal SamplingRule Rule => new(RepetitionPenalty, FrequencyPenalty, PresencePenalty, Temperature, TopK, TopP, MinP);

    /// <summary>Checks the ranges.</summary>
    /// <exception cref="LlavaSpException">A value is out of range.</exception>
    public void Validate()
    {
        Require(Temperature is >= 0 and <= 100, "temperature", Temperature, "from 0 to 100");
        Require(TopK >= 0, "top-k", TopK, "0 or more");
        Require(TopP is > 0 and <= 1, "top-p", TopP, "above 0, at most 1");
        Require(MinP is >= 0 and <= 1, "min-p", MinP, "from 0 to 1");
        Require(RepetitionPenalty is > 0 and <= 100, "repetition penalty", RepetitionPenalty, "above 0, at most 100");
        Require(FrequencyPenalty is >= -100 and <= 100, "frequency penalty", FrequencyPenalty, "from -100 to 100");
        Require(PresencePenalty is >= -100 and <= 100, "presence penalty", PresencePenalty, "from -100 to 100");
        Require(TopLogProbs is null or (>= 0 and <= 100), "top log-probabilities", TopLogProbs ?? 0, "from 0 to 100");

        static void Require(bool good, string name, float value, string range)
        {
            if (!good) throw new LlavaSpException(FormattableString.Invariant($"{name} is {value}; it must be {range}"));
        }
    }
}
