using System.CommandLine;
using LlavaSp.Checkpoints;

namespace LlavaSp.Cli.Options;

/// <summary><c>--model --model-base --vision-tower</c>.</summary>
internal sealed class LocationOptions
{
    private readonly Option<string?>? _model;
    private readonly Option<string?> _base = new("--model-base")
    {
        Description = "Base language model of a LoRA checkpoint; found by its name when left out",
        HelpName = "DIR",
    };

    private readonly Option<string?> _tower = new("--vision-tower")
    {
        Description = "CLIP checkpoint; found by its name, or inside the model, when left out",
        HelpName = "DIR",
    };

    /// <summary>Adds the options to a command.</summary>
    /// <param name="command">The command.</param>
    /// <param name="required">Whether a model must be given; else the embedded demo checkpoint stands in.</param>
    public LocationOptions(Command command, bool required)
    {
        _model = new Option<string?>("--model")
        {
            Description = required ? "Checkpoint" : "Checkpoint; without it the embedded demo model, which knows drawn scenes only",
            HelpName = "DIR",
            Required = required,
        };
        command.Add(_model);
        AddOthers(command);
    }

    /// <summary>For a command that takes the model as its argument.</summary>
    public LocationOptions(Command command) => AddOthers(command);

    /// <summary>The folders; null where no model was given.</summary>
    public ModelLocation? Read(ParseResult parsed) => _model is not null && parsed.GetValue(_model) is { } model ? Read(parsed, model) : null;

    /// <summary>The folders, the model's from elsewhere.</summary>
    public ModelLocation Read(ParseResult parsed, string model) => new(model, parsed.GetValue(_base), parsed.GetValue(_tower));

    /// <summary>Refuses folders that belong to a model where none was given.</summary>
    /// <exception cref="LlavaSpException">There is one.</exception>
    public static void RefuseWithoutModel(string? model, ModelLocation location)
    {
        if (model is null && (location.ModelBase ?? location.VisionTower) is not null)
            throw new LlavaSpException("--model-base and --vision-tower belong to a checkpoint: give its folder with --model");
    }

    private void AddOthers(Command command)
    {
        command.Add(_base);
        command.Add(_tower);
    }
}
