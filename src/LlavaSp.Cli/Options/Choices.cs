using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace LlavaSp.Cli.Options;

/// <summary>on or off.</summary>
internal enum Switch
{
    Off,
    On,
}

/// <summary>Options whose wrong values are explained in one line.</summary>
internal static class Choices
{
    /// <summary>An option that takes one of a few words. No bool: System.CommandLine takes only true and false as values of such an option.</summary>
    public static Option<T> OneOf<T>(string name, string description, params (string Word, T Value)[] choices)
    {
        string[] words = [.. choices.Select(choice => choice.Word)];
        return Parsed(name, description, string.Join('|', words), text =>
        {
            int index = Array.IndexOf(words, text);
            return index >= 0 ? choices[index].Value : throw new LlavaSpException($"choose one of {string.Join(", ", words)}");
        });
    }

    /// <summary>An option whose text is read by a function that complains with a <see cref="LlavaSpException"/>.</summary>
    public static Option<T> Parsed<T>(string name, string description, string helpName, Func<string, T> parse) => new(name)
    {
        Description = description,
        HelpName = helpName,
        CustomParser = result =>
        {
            string text = result.Tokens.Count > 0 ? result.Tokens[^1].Value : "";
            try
            {
                return parse(text);
            }
            catch (LlavaSpException e)
            {
                result.AddError($"{name} {text}: {e.Message}");
                return default;
            }
        },
    };

    /// <summary>A number from 1 on.</summary>
    public static Option<int> Count(string name, int fallback, int most, string description) => new(name)
    {
        Description = description,
        HelpName = "N",
        DefaultValueFactory = _ => fallback,
        CustomParser = result =>
        {
            if (result.Tokens.Count == 1 && int.TryParse(result.Tokens[0].Value, NumberStyles.None, CultureInfo.InvariantCulture, out int count)
                && count >= 1 && count <= most) return count;
            result.AddError($"{name}: give a number from 1 to {most}");
            return fallback;
        },
    };

    /// <summary>Several values between commas, each at most once.</summary>
    public static Option<T[]?> List<T>(string name, string description, string helpName, Func<string, T> parse) => Parsed<T[]?>(name, description, helpName, text =>
    {
        T[] values = [.. text.Split(',', StringSplitOptions.TrimEntries).Select(parse)];
        return values.Distinct().Count() == values.Length ? values : throw new LlavaSpException("a value stands there twice");
    });

    /// <summary>The values of a list that was given; null for one that was not, whose own value is an empty list.</summary>
    public static T[]? Given<T>(this ParseResult parsed, Option<T[]?> option) => parsed.GetResult(option) is { Implicit: false } ? parsed.GetValue(option) : null;

    /// <summary>A text option that may stand several times, one value each.</summary>
    public static Option<string[]> Repeated(string name, string description, string helpName) => new(name)
    {
        Description = description,
        HelpName = helpName,
        Arity = ArgumentArity.OneOrMore,
        DefaultValueFactory = static _ => [],
    };

    /// <summary>Whether pictures are turned upright as their EXIF tag says.</summary>
    public static Option<Switch?> Exif(bool fallback) => OneOf<Switch?>(
        "--exif", $"Turn pictures upright as their EXIF tag says; upstream ignores it [default: {(fallback ? "on" : "off")}]",
        ("on", Switch.On), ("off", Switch.Off));

    /// <summary>The value of a switch.</summary>
    public static bool Value(this ParseResult parsed, Option<Switch?> option, bool fallback) =>
        parsed.GetValue(option) is { } value ? value == Switch.On : fallback;

    /// <summary>One JSON object on standard output.</summary>
    public static Option<bool> Json() => new("--json") { Description = "Write one JSON object to standard output and nothing else" };

    /// <summary>More notes on standard error.</summary>
    public static Option<bool> Verbose() => new("--verbose") { Description = "Say on standard error what was found where, what runs, and where the time goes" };
}
