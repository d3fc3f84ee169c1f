using LlavaSp.Checkpoints;
using LlavaSp.Cli.Options;
using LlavaSp.Cli.Running;
using LlavaSp.Generation;
using LlavaSp.Quantization;
using LlavaSp.Text;

namespace LlavaSp.Cli.Evaluating;

/// <summary>The three demo models: alike but for the spatial tokens, each a LoRA beside its base model and CLIP.</summary>
internal sealed class DemoModels(string folder)
{
    // A caption of six objects takes fewer.
    private const int AnswerLength = 64;

    /// <summary>The variants, the one that the others are held against first.</summary>
    public static IReadOnlyList<string> Variants { get; } = ["none", "pooling", "cropping"];

    /// <summary>Where a variant lies.</summary>
    public string FolderOf(string variant) => EmbeddedModel.FolderOf(folder, variant);

    /// <summary>Opens and closes a variant's files, so that what is missing is told before others have worked for hours.</summary>
    /// <exception cref="LlavaSpException">It is not there, or not whole.</exception>
    public void Check(string variant)
    {
        using var checkpoint = ModelCheckpoint.Open(new ModelLocation(FolderOf(variant)));
        string found = checkpoint.Spatial.Variant;
        if (found != variant) Notes.Write($"{FolderOf(variant)}: its tensors are those of the variant {found}; it is evaluated as {variant}");
    }

    /// <summary>Loads a variant, to answer greedily.</summary>
    public LoadedModel Load(string variant, WeightFormat format, string device, int threads, CancellationToken cancellationToken) => LoadedModel.Load(
        new AnswerSettings(
            new ModelLocation(FolderOf(variant)), IsEmbedded: false,
            new LoadOptions { Device = new(device, threads), Weights = format },
            new GenerationSettings(AnswerLength, new SamplingOptions(), []),
            ConversationTemplate.ForModelName(Path.GetFileName(FolderOf(variant))), Exif: false, Json: false, Verbose: false),
        cancellationToken);
}
