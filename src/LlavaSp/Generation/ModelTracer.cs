using LlavaSp.Imaging;

namespace LlavaSp.Generation;

/// <summary>Runs a prompt and keeps every intermediate tensor, under the names that the goldens use.</summary>
public static class ModelTracer
{
    /// <summary>
    /// Traces pictures (prefixes <c>a.</c>, <c>b.</c>, …), prefill and greedy steps. The spliced sequence is cut at the config's
    /// tokenizer_model_max_length, as upstream does.
    /// </summary>
    /// <param name="model">Load it with <see cref="LoadOptions.AllHiddenStates"/> to see every hidden state of the vision tower.</param>
    /// <param name="ids">Prompt ids, as they are.</param>
    /// <param name="images">Pictures in order.</param>
    /// <param name="steps">Greedy tokens to generate; end tokens do not stop them.</param>
    /// <param name="trace">Receives the tensors.</param>
    /// <param name="cancellationToken">Stops between two pictures, layers or steps.</param>
    /// <exception cref="PromptException">The prompt does not fit its pictures or the context.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static void Run(
        LlavaSpModel model, int[] ids, IReadOnlyList<PreparedImage> images, int steps, TraceFile trace, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(steps);
        int vocabulary = model.Checkpoint.Decoder.VocabularySize;
        PromptSequence prompt = PromptSequence.Create(
            ids, images, model.Encoder.LengthOf, vocabulary, model.Checkpoint.Multimodal.MaxSequenceLength);
        trace.AddIds("input_ids", ids);
        using LlavaSpSession session = model.CreateSession(Math.Min(model.Checkpoint.Decoder.ContextLength, prompt.Length + steps));
        SequenceRunner runner = session.Runner;
        if (prompt.Length + steps > runner.Capacity)
            throw new PromptException($"{prompt.Length} positions and {steps} steps do not fit the context of {runner.Capacity}: use fewer --steps");
        model.Exclusively(() =>
        {
            runner.Prefill(prompt, new StageTimes(), trace, trace.WithPrefix, cancellationToken);
            if (steps > 0) Greedy(model, runner, steps, trace, cancellationToken);
        }, cancellationToken);
    }

    private static void Greedy(LlavaSpModel model, SequenceRunner runner, int steps, TraceFile trace, CancellationToken cancellationToken)
    {
        int vocabulary = model.Checkpoint.Decoder.VocabularySize;
        var greedy = new int[steps];
        var logits = trace.Wants("greedy_logits") ? new float[(long)steps * vocabulary] : null;
        for (int i = 0; i < steps; i++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            greedy[i] = model.Backend.Argmax(runner.Logits);
            if (logits is not null) runner.Logits.Read(logits.AsSpan(i * vocabulary, vocabulary));
            if (i < steps - 1) runner.Step(greedy[i]);
        }

        trace.AddIds("greedy_ids", greedy);
        if (logits is not null) trace.Add("greedy_logits", logits, steps, vocabulary);
    }
}
