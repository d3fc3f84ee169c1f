using System.CommandLine;
using LlavaSp.Cli.Explain;
using LlavaSp.Cli.Options;
using LlavaSp.Cli.Output;
using LlavaSp.Cli.Running;
using LlavaSp.Explanation;
using LlavaSp.Generation;

namespace LlavaSp.Cli.Commands;

/// <summary><c>llava-sp explain IMAGE… --prompt TEXT</c>: what an answer came from, drawn over the pictures.</summary>
internal static class ExplainCommand
{
    private const int AnswerLength = 32;

    public static Command Create()
    {
        var command = new Command("explain", "Answer a question, and draw what each word of the answer and each spatial token looks at");
        var images = new Argument<string[]>("IMAGE") { Description = "Pictures: PNG, JPEG, WebP, BMP, GIF", Arity = ArgumentArity.OneOrMore };
        var prompt = new Option<string>("--prompt") { Description = "The question", HelpName = "TEXT", Required = true };
        var output = new Option<string>("--out")
        {
            Description = "PNG to write; with several pictures their numbers are put before .png",
            HelpName = "FILE",
            DefaultValueFactory = static _ => "explanation.png",
        };
        Option<LayerChoice?> layers = Choices.Parsed<LayerChoice?>(
            "--layers", "Decoder layers whose attention is shown: their mean, all of them one by one, or one by its number from 1 [default: mean]", "mean|all|N", LayerChoice.Parse);
        command.Add(images);
        command.Add(prompt);
        command.Add(output);
        command.Add(layers);
        var options = new AnswerOptions(command, AnswerLength, exif: false);
        command.SetAction((parsed, _) => RunAsync(
            options.Read(parsed), parsed.GetValue(images)!, parsed.GetValue(prompt)!, parsed.GetValue(output)!, parsed.GetValue(layers) ?? LayerChoice.Mean));
        return command;
    }

    private static async Task<int> RunAsync(AnswerSettings settings, string[] images, string prompt, string output, LayerChoice layers)
    {
        // What can be wrong is checked before a model of many gigabytes is loaded.
        Question.WithPictures(prompt, images.Length);
        var pictures = new Pictures();
        foreach (string image in images) pictures.Decode(image, settings.Exif);
        string[] files = [.. Enumerable.Range(1, images.Length).Select(number => FileOf(output, number, images.Length))];
        foreach (string file in files) WholeFile.RequireWritable(file);
        if (settings.IsEmbedded) Notes.Write(EmbeddedModel.Limits);

        using var interruption = new Interruption();
        CancellationToken cancelled = interruption.Begin();
        using LoadedModel model = LoadedModel.Load(settings, cancelled);
        IReadOnlyList<int?> shown = layers.Of(model.Model.Checkpoint.Decoder.Layers);
        string question = Question.WithPictures(prompt, images.Length, model.Model.Checkpoint.Multimodal.UseStartEnd);
        GenerationRequest request = model.Request([question, null], pictures.Prepare(model.Model));
        AnswerExplanation explanation = await ProgressDisplay.BusyAsync(
            "looking", () => Task.Run(() => ModelExplainer.Run(model.Model, request, cancelled), CancellationToken.None));

        LabelFont font = LabelFont.Find();
        if (!font.IsFound) Notes.Write("no font was found on this machine: the pictures have no labels (install one, e.g. the package fonts-dejavu-core)");
        for (int i = 0; i < files.Length; i++)
        {
            byte[] png = ExplanationImage.Draw(explanation, explanation.Pictures[i], pictures.Decoded[i], prompt, shown, font);
            await WholeFile.WriteAsync(files[i], stream => stream.WriteAsync(png).AsTask());
        }

        if (settings.Json) JsonOutput.Write(json => ExplanationJson.Write(json, model, explanation, files, shown));
        else Console.Out.WriteLine($"{explanation.Answer.Text}{Environment.NewLine}{string.Join(", ", files)}");
        return ExitCode.Success;
    }

    private static string FileOf(string output, int number, int count) => count == 1
        ? output
        : Path.Combine(Path.GetDirectoryName(output) ?? "", $"{Path.GetFileNameWithoutExtension(output)}-{number}{Path.GetExtension(output)}");
}
