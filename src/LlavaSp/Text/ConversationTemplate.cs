using System.Text;

namespace LlavaSp.Text;

/// <summary>How a template joins its turns (upstream llava/conversation.py, <c>SeparatorStyle</c>).</summary>
public enum SeparatorStyle
{
    /// <summary>One separator after the system text and after every turn.</summary>
    Single,

    /// <summary>One separator after questions, another one after answers.</summary>
    Two,

    /// <summary>ChatML: the role's own text opens a turn, one separator closes it.</summary>
    Mpt,

    /// <summary>The question alone and a line break: what the projector is trained on.</summary>
    Plain,

    /// <summary>[INST] question [/INST] answer.</summary>
    Llama2,
}

/// <summary>
/// How questions and answers become one prompt: upstream's conversation templates, character for character
/// (llava/conversation.py, <c>get_prompt</c>).
/// </summary>
public sealed partial class ConversationTemplate
{
    private ConversationTemplate(string name, SeparatorStyle style, string system, string userRole, string assistantRole, string separator,
        string? answerSeparator = null)
    {
        Name = name;
        Style = style;
        System = system;
        UserRole = userRole;
        AssistantRole = assistantRole;
        Separator = separator;
        AnswerSeparator = answerSeparator;
    }

    /// <summary>Upstream's name of the template.</summary>
    public string Name { get; }

    /// <summary>How turns are joined.</summary>
    public SeparatorStyle Style { get; }

    /// <summary>The text before the first turn.</summary>
    public string System { get; }

    /// <summary>What a question is marked with.</summary>
    public string UserRole { get; }

    /// <summary>What an answer is marked with.</summary>
    public string AssistantRole { get; }

    /// <summary>Upstream's <c>sep</c>.</summary>
    public string Separator { get; }

    /// <summary>Upstream's <c>sep2</c>; null where the style has none.</summary>
    public string? AnswerSeparator { get; }

    /// <summary>
    /// Text at which an answer ends: <c>sep</c> for <see cref="SeparatorStyle.Single"/> and <see cref="SeparatorStyle.Mpt"/>,
    /// <c>sep2</c> for the others. Where it is the end token too, that token ends the answer first.
    /// </summary>
    public IReadOnlyList<string> StopStrings
    {
        get
        {
            string? stop = Style is SeparatorStyle.Single or SeparatorStyle.Mpt ? Separator : AnswerSeparator;
            return string.IsNullOrEmpty(stop) ? [] : [stop];
        }
    }

    /// <summary>The prompt of a conversation.</summary>
    /// <param name="turns">Questions and answers in turn, a question first; a null (or empty) last answer is the model's to give.</param>
    /// <exception cref="PromptException">The template cannot write these turns.</exception>
    public string BuildPrompt(IReadOnlyList<string?> turns)
    {
        ArgumentNullException.ThrowIfNull(turns);
        return Style switch
        {
            SeparatorStyle.Single => Join(turns, System + Separator, ": ", ":", Separator, Separator),
            SeparatorStyle.Two => Join(turns, System + Separator, ": ", ":", Separator, AnswerSeparator!),
            SeparatorStyle.Mpt => Join(turns, System + Separator, "", "", Separator, Separator),
            SeparatorStyle.Plain => JoinPlain(turns),
            _ => JoinLlama2(turns),
        };
    }

    private string Join(IReadOnlyList<string?> turns, string start, string roleEnd, string openRoleEnd, string afterQuestion,
        string afterAnswer)
    {
        var prompt = new StringBuilder(start);
        for (int i = 0; i < turns.Count; i++)
        {
            bool question = i % 2 == 0;
            prompt.Append(question ? UserRole : AssistantRole);
            if (string.IsNullOrEmpty(turns[i])) prompt.Append(openRoleEnd);
            else prompt.Append(roleEnd).Append(turns[i]).Append(question ? afterQuestion : afterAnswer);
        }
        return prompt.ToString();
    }

    private string JoinPlain(IReadOnlyList<string?> turns)
    {
        var prompt = new StringBuilder(System);
        for (int i = 0; i < turns.Count; i++)
        {
            if (string.IsNullOrEmpty(turns[i])) continue;
            if (i % 2 == 1)
                throw new PromptException($"the template {Name} has no place for answers: ask one question or choose another template");
            prompt.Append(turns[i]).Append(Separator);
        }
        return prompt.ToString();
    }

    private string JoinLlama2(IReadOnlyList<string?> turns)
    {
        if (turns.Count == 0 || string.IsNullOrEmpty(turns[0]))
            throw new PromptException($"the template {Name} needs a first question that is not empty");
        var prompt = new StringBuilder();
        for (int i = 0; i < turns.Count; i++)
        {
            if (string.IsNullOrEmpty(turns[i])) continue;
            string system = i == 0 && System.Length > 0 ? $"<<SYS>>\n{System}\n<</SYS>>\n\n" : "";
            if (i % 2 == 0) prompt.Append(Separator).Append("[INST] ").Append(system).Append(turns[i]).Append(" [/INST]");
            else prompt.Append(' ').Append(turns[i]).Append(' ').Append(AnswerSeparator);
        }
        // upstream strips the separator's characters, not the separator; what follows begins with '[', so it is the same
        return prompt.ToString(Separator.Length, prompt.Length - Separator.Length);
    }
}
