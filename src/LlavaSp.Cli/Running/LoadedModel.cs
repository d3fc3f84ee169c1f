using LlavaSp.Cli.Options;
using LlavaSp.Cli.Output;
using LlavaSp.Generation;
using LlavaSp.Imaging;

namespace LlavaSp.Cli.Running;

/// <summary>A model and the way in which it was asked to answer.</summary>
internal sealed class LoadedModel : IDisposable
{
    private LoadedModel(LlavaSpModel model, AnswerSettings settings)
    {
        Model = model;
        Settings = settings;
    }

    public LlavaSpModel Model { get; }

    public AnswerSettings Settings { get; }

    /// <summary>One line about the device.</summary>
    public string DeviceLine =>
        $"{Model.Device.Device} ({Model.Device.InstructionSet}, {Model.Device.Threads} threads; {Model.Device.Reason}), weights {Model.Weights}, "
        + $"KV cache {Model.KvFormat.ToString().ToLowerInvariant()}";

    /// <summary>Loads it with a progress bar.</summary>
    public static LoadedModel Load(AnswerSettings settings, CancellationToken cancellationToken)
    {
        string name = Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(settings.Location.Model)));
        LlavaSpModel model = ProgressDisplay.Load(
            $"loading {name}",
            progress => LlavaSpModel.Load(settings.Location.Model, settings.Load with
            {
                ModelBase = settings.Location.ModelBase,
                VisionTower = settings.Location.VisionTower,
                Progress = progress,
                Logger = settings.Verbose ? new NoteLogger() : null,
            }),
            cancellationToken);
        if (settings.Verbose)
        {
            foreach (string note in model.Checkpoint.Notes) Notes.Write(note);
            Notes.Write($"template {settings.Template.Template.Name}: {settings.Template.Reason}");
            Notes.Write($"loaded in {model.LoadMilliseconds:f0} ms, {ByteSize.Text(model.WeightBytes)} of weights");
        }

        return new LoadedModel(model, settings);
    }

    /// <summary>A request for a conversation.</summary>
    /// <param name="turns">Questions with placeholders and answers in turn; the last answer is null.</param>
    /// <param name="images">One picture for each placeholder, in order.</param>
    public GenerationRequest Request(IReadOnlyList<string?> turns, IReadOnlyList<PreparedImage> images) => new()
    {
        PromptIds = Model.Encode(Settings.Template.Template.BuildPrompt(turns)),
        Images = images,
        Sampling = Settings.Generation.Sampling,
        MaxNewTokens = Settings.Generation.MaxNewTokens,
        StopStrings = [.. Settings.Template.Template.StopStrings, .. Settings.Generation.Stop],
    };

    /// <summary>A session with exactly the positions that one request needs.</summary>
    /// <exception cref="PromptException">The prompt alone is longer than the model's context.</exception>
    public LlavaSpSession SessionFor(GenerationRequest request) =>
        Model.CreateSession((int)Math.Min(Model.Checkpoint.Decoder.ContextLength, (long)LengthOf(request) + request.MaxNewTokens));

    /// <summary>Positions that a prompt takes, pictures included.</summary>
    /// <exception cref="PromptException">It is longer than the model's context.</exception>
    public int LengthOf(GenerationRequest request)
    {
        int context = Model.Checkpoint.Decoder.ContextLength, prompt = Model.Sequence(request).Length;
        if (prompt <= context) return prompt;
        throw new PromptException(
            $"the prompt takes {prompt} positions, pictures included; this model has {context}: shorten it or use fewer pictures");
    }

    public void Dispose() => Model.Dispose();
}
