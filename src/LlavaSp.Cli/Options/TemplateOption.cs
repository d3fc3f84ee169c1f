using System.CommandLine;
using LlavaSp.Text;

namespace LlavaSp.Cli.Options;

/// <summary><c>--template</c>: how a question becomes a prompt.</summary>
internal sealed class TemplateOption
{
    private readonly Option<string?> _name = new("--template")
    {
        Description = $"Conversation template: {string.Join(", ", ConversationTemplate.Names)} [default: by the model's name, as upstream does]",
        HelpName = "NAME",
    };

    /// <summary>Adds the option to a command.</summary>
    public TemplateOption(Command command) => command.Add(_name);

    /// <summary>The template that was asked for, or run_llava's choice for the folder's name.</summary>
    /// <exception cref="LlavaSpException">There is no such template.</exception>
    public TemplateChoice Read(ParseResult parsed, string modelFolder) => parsed.GetValue(_name) is { } name
        ? new TemplateChoice(ConversationTemplate.Get(name), "asked for by name")
        : ConversationTemplate.ForModelName(ConversationTemplate.ModelName(Path.GetFullPath(modelFolder)));
}
