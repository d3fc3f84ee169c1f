using System.Globalization;

namespace LlavaSp.Cli.Output;

/// <summary>An answer as it grows on standard output: without white space in front, and harmless to a terminal.</summary>
/// <param name="raw">Whether control characters stay as they are.</param>
internal sealed class AnswerText(bool raw)
{
    private bool _begun;

    /// <summary>For standard output: as it is into files and pipes, printable on a terminal.</summary>
    public AnswerText() : this(Console.IsOutputRedirected) { }

    /// <summary>Shows what has become certain.</summary>
    public void Write(string text)
    {
        if (!_begun) text = text.TrimStart();
        if (text.Length == 0) return;
        _begun = true;
        Console.Out.Write(raw ? text : Printable(text));
        Console.Out.Flush();
    }

    /// <summary>A model may say anything, escape sequences included.</summary>
    public static string Printable(string text) => string.Create(text.Length, text, static (span, source) =>
    {
        for (int i = 0; i < span.Length; i++)
        {
            char c = source[i];
            span[i] = c is not ('\n' or '\t') && char.GetUnicodeCategory(c) == UnicodeCategory.Control ? '\ufffd' : c;
        }
    });
}
