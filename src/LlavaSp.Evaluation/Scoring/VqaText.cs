using System.Collections.Frozen;
using System.Text;
using LlavaSp.Text;

namespace LlavaSp.Evaluation.Scoring;

/// <summary>
/// How the VQA benchmarks make answers alike before they compare them: the rules of VQAEval (github.com/GT-Vision-Lab/VQA) and of EvalAI's answer
/// processor (MMF's, which upstream uses as m4c_evaluator). Their odd effects are kept: they are part of published numbers.
/// </summary>
public static class VqaText
{
    // Upstream hands the regular expression's flags over where the number of replacements belongs; the flag's value is 32.
    private const int MostPeriods = 32;

    private const string Marks = ";/[]\"{}()=+\\_->@<`,?!";

    private static readonly FrozenDictionary<string, string> Numbers = new Dictionary<string, string>
    {
        ["none"] = "0",
        ["zero"] = "0",
        ["one"] = "1",
        ["two"] = "2",
        ["three"] = "3",
        ["four"] = "4",
        ["five"] = "5",
        ["six"] = "6",
        ["seven"] = "7",
        ["eight"] = "8",
        ["nine"] = "9",
        ["ten"] = "10",
    }.ToFrozenDictionary();

    private static readonly FrozenDictionary<string, string> Contractions = WithoutAnApostrophe(
        """
        ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's how'd how'll how's isn't
        it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've
        shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll
        that's there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
        what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all
        y'all'll y'all'd've you'd you'd've you'll you're you've
        """);

    /// <summary>VQAEval's treatment of a model's answer.</summary>
    public static string Answer(string text) => Words(Punctuation(PythonText.Strip(OneLine(text))));

    /// <summary>EvalAI's treatment of both sides, and of what is sent to its servers.</summary>
    public static string EvalAi(string text)
    {
        string words = PythonText.Strip(
            text.ToLowerInvariant().Replace(",", "", StringComparison.Ordinal).Replace("?", "", StringComparison.Ordinal)
                .Replace("'s", " 's", StringComparison.Ordinal));
        return Answer(words);
    }

    /// <summary>
    /// A mark goes without a trace where the text has it beside a blank, or where the text has a comma between digits anywhere; else it leaves a blank.
    /// Then periods go, unless a digit follows.
    /// </summary>
    public static string Punctuation(string text)
    {
        bool hasDigitComma = HasDigitComma(text);
        string result = text;
        foreach (char mark in Marks)
        {
            bool vanishes = hasDigitComma || text.Contains($"{mark} ", StringComparison.Ordinal) || text.Contains($" {mark}", StringComparison.Ordinal);
            result = result.Replace(mark.ToString(), vanishes ? "" : " ", StringComparison.Ordinal);
        }

        return WithoutPeriods(result);
    }

    /// <summary>Lower case; number words as digits; no articles; apostrophes where they were left out.</summary>
    public static string Words(string text) => string.Join(' ', PythonText.Split(text.ToLowerInvariant())
        .Select(word => Numbers.GetValueOrDefault(word, word))
        .Where(word => word is not ("a" or "an" or "the"))
        .Select(word => Contractions.GetValueOrDefault(word, word)));

    private static string OneLine(string text) => text.Replace('\n', ' ').Replace('\t', ' ');

    private static bool HasDigitComma(string text)
    {
        for (int i = 1; i + 1 < text.Length; i++)
        {
            if (text[i] == ',' && char.IsDigit(text[i - 1]) && char.IsDigit(text[i + 1])) return true;
        }

        return false;
    }

    private static string WithoutPeriods(string text)
    {
        var result = new StringBuilder(text.Length);
        int removed = 0;
        for (int i = 0; i < text.Length; i++)
        {
            bool goes = text[i] == '.' && removed < MostPeriods && !(i + 1 < text.Length && char.IsDigit(text[i + 1]));
            if (goes) removed++;
            else result.Append(text[i]);
        }

        return result.ToString();
    }

    // The published table lists each contraction once for each of its apostrophes, that one left out. It also has words with capitals, which no word
    // matches that is lower case by then, and one entry the wrong way round.
    private static FrozenDictionary<string, string> WithoutAnApostrophe(string words)
    {
        var table = new Dictionary<string, string> { ["somebody'd"] = "somebodyd" };
        foreach (string word in PythonText.Split(words))
        {
            for (int i = 0; i < word.Length; i++)
            {
                if (word[i] == '\'') table.Add(word.Remove(i, 1), word);
            }
        }

        return table.ToFrozenDictionary();
    }
}
