using LlavaSp.Generation;

namespace LlavaSp.Cli.Output;

/// <summary>Runs a request: a bar until the first token, then the text as it comes.</summary>
internal static class AnswerStream
{
    /// <summary>Answers.</summary>
    /// <param name="session">Session.</param>
    /// <param name="request">Request.</param>
    /// <param name="title">What the bar says.</param>
    /// <param name="preprocess">Milliseconds that the pictures took before; added to the result's times.</param>
    /// <param name="onText">Told about text; null shows none.</param>
    /// <param name="cancellationToken">Stops after the token at work.</param>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static async Task<GenerationResult> RunAsync(
        LlavaSpSession session, GenerationRequest request, string title, double preprocess, Action<string>? onText, CancellationToken cancellationToken)
    {
        await using IAsyncEnumerator<GeneratedToken> tokens = session.StreamAsync(request, cancellationToken).GetAsyncEnumerator(CancellationToken.None);
        bool more = await ProgressDisplay.BusyAsync(title, () => tokens.MoveNextAsync().AsTask());
        while (more)
        {
            onText?.Invoke(tokens.Current.Text);
            more = await tokens.MoveNextAsync();
        }

        GenerationResult result = session.LastResult!;
        result.Times.Add(Stage.Preprocess, preprocess);
        return result;
    }
}
