using System.CommandLine;
using LlavaSp.Checkpoints;
using LlavaSp.Cli.Running;
using LlavaSp.Text;

namespace LlavaSp.Cli.Options;

/// <summary>Everything that the commands which answer questions have in common.</summary>
internal sealed class AnswerOptions
{
    private readonly LocationOptions _location;
    private readonly RuntimeOptions _runtime;
    private readonly GenerationOptions _generation;
    private readonly TemplateOption _template;
    private readonly Option<Switch?> _exif;
    private readonly Option<bool> _json = Choices.Json();
    private readonly Option<bool> _verbose = Choices.Verbose();
    private readonly bool _exifDefault;

    /// <summary>Adds the options to a command.</summary>
    /// <param name="command">The command.</param>
    /// <param name="length">Default of <c>--max-new-tokens</c>.</param>
    /// <param name="exif">Default of <c>--exif</c>.</param>
    public AnswerOptions(Command command, int length, bool exif)
    {
        _location = new LocationOptions(command, required: false);
        _runtime = new RuntimeOptions(command);
        _generation = new GenerationOptions(command, length);
        _template = new TemplateOption(command);
        _exifDefault = exif;
        command.Add(_exif = Choices.Exif(exif));
        command.Add(_json);
        command.Add(_verbose);
    }

    /// <summary>What was asked for, checked; the embedded models are unpacked where no model was given.</summary>
    public AnswerSettings Read(ParseResult parsed)
    {
        bool json = parsed.GetValue(_json);
        GenerationSettings generation = _generation.Read(parsed, json);
        ModelLocation? given = _location.Read(parsed);
        ModelLocation location = given ?? new ModelLocation(EmbeddedModel.FolderOf(EmbeddedModel.Unpack(), EmbeddedModel.DefaultVariant));
        return new AnswerSettings(
            location, given is null, _runtime.Read(parsed), generation, _template.Read(parsed, location.Model),
            parsed.Value(_exif, _exifDefault), json, parsed.GetValue(_verbose));
    }
}

/// <summary>What was asked for of a command that answers questions.</summary>
/// <param name="Location">Folders.</param>
/// <param name="IsEmbedded">Whether the embedded demo checkpoint answers.</param>
/// <param name="Load">Device and formats.</param>
/// <param name="Generation">Length, sampling, stop strings.</param>
/// <param name="Template">Template and why.</param>
/// <param name="Exif">Whether pictures are turned upright.</param>
/// <param name="Json">One JSON object on standard output.</param>
/// <param name="Verbose">More notes on standard error.</param>
internal sealed record AnswerSettings(
    ModelLocation Location, bool IsEmbedded, LoadOptions Load, GenerationSettings Generation, TemplateChoice Template, bool Exif, bool Json, bool Verbose);
