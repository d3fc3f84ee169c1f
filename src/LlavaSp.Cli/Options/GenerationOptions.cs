using System.CommandLine;
using LlavaSp.Generation;

namespace LlavaSp.Cli.Options;

/// <summary>Length, sampling and stop strings of answers.</summary>
internal sealed class GenerationOptions
{
    private readonly Option<int> _maxNewTokens;
    private readonly Option<float> _temperature = Number("--temperature", "0 is greedy", 0);
    private readonly Option<int> _topK = new("--top-k") { Description = "Keep the k most likely tokens; 0 keeps all", HelpName = "N" };
    private readonly Option<float> _topP = Number("--top-p", "Keep the most likely tokens up to this probability together", 1);
    private readonly Option<float> _minP = Number("--min-p", "Keep tokens of at least this fraction of the best one's probability", 0);
    private readonly Option<float> _repetition = Number("--repetition-penalty", "Divide the logits of tokens that the answer has; 1 is off", 1);
    private readonly Option<float> _frequency = Number("--frequency-penalty", "Subtract this for every time that the answer has a token", 0);
    private readonly Option<float> _presence = Number("--presence-penalty", "Subtract this once the answer has a token", 0);
    private readonly Option<int?> _seed = new("--seed") { Description = "Seed of the random numbers; a fresh one, which the output names, when left out", HelpName = "N" };
    private readonly Option<string[]> _stop = Choices.Repeated("--stop", "End the answer at this text, besides the template's own; may stand several times", "TEXT");
    private readonly Option<int?> _logprobs = new("--logprobs")
    {
        Description = "With --json: log-probabilities of each token and of the N most likely ones at its place",
        HelpName = "N",
    };

    /// <summary>Adds the options to a command.</summary>
    /// <param name="command">The command.</param>
    /// <param name="length">Default of <c>--max-new-tokens</c>.</param>
    public GenerationOptions(Command command, int length)
    {
        _maxNewTokens = new Option<int>("--max-new-tokens") { Description = "Most tokens of an answer", HelpName = "N", DefaultValueFactory = _ => length };
        foreach (Option option in (Option[])
            [_maxNewTokens, _temperature, _topK, _topP, _minP, _repetition, _frequency, _presence, _seed, _stop, _logprobs]) command.Add(option);
    }

    /// <summary>What was asked for, checked.</summary>
    /// <exception cref="LlavaSpException">A value is out of range.</exception>
    public GenerationSettings Read(ParseResult parsed, bool json)
    {
        int length = parsed.GetValue(_maxNewTokens);
        if (length < 1) throw new LlavaSpException($"--max-new-tokens {length}: give 1 or more");
        string[] stop = parsed.GetValue(_stop)!;
        if (stop.Contains("")) throw new LlavaSpException("--stop: an empty text would end every answer before it begins");
        int? logprobs = parsed.GetValue(_logprobs);
        if (logprobs is not null && !json) throw new LlavaSpException("--logprobs are shown only with --json");
        var sampling = new SamplingOptions
        {
            Temperature = parsed.GetValue(_temperature),
            TopK = parsed.GetValue(_topK),
            TopP = parsed.GetValue(_topP),
            MinP = parsed.GetValue(_minP),
            RepetitionPenalty = parsed.GetValue(_repetition),
            FrequencyPenalty = parsed.GetValue(_frequency),
            PresencePenalty = parsed.GetValue(_presence),
            Seed = parsed.GetValue(_seed),
            TopLogProbs = logprobs,
        };
        sampling.Validate();
        return new GenerationSettings(length, sampling, stop);
    }

    private static Option<float> Number(string name, string description, float fallback) =>
        new(name) { Description = description, HelpName = "X", DefaultValueFactory = _ => fallback };
}

/// <summary>Length, sampling and extra stop strings of answers.</summary>
internal sealed record GenerationSettings(int MaxNewTokens, SamplingOptions Sampling, IReadOnlyList<string> Stop);
