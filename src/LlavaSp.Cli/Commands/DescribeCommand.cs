using System.CommandLine;
using System.Diagnostics;
using LlavaSp.Cli.Options;
using LlavaSp.Cli.Output;
using LlavaSp.Cli.Running;
using LlavaSp.Generation;

namespace LlavaSp.Cli.Commands;

/// <summary><c>llava-sp describe IMAGE… --prompt TEXT</c>: one answer about one or more pictures.</summary>
internal static class DescribeCommand
{
    public static Command Create()
    {
        var command = new Command("describe", "Answer a question about one or more pictures");
        var images = new Argument<string[]>("IMAGE") { Description = "Pictures: PNG, JPEG, WebP, BMP, GIF", Arity = ArgumentArity.OneOrMore };
        var prompt = new Option<string>("--prompt")
        {
            Description = "The question; <image> in it stands for a picture, else all pictures come in front",
            HelpName = "TEXT",
            DefaultValueFactory = static _ => "Describe the picture.",
        };
        command.Add(images);
        command.Add(prompt);
        var options = new AnswerOptions(command, length: 512, exif: false);
        command.SetAction((parsed, _) => RunAsync(options.Read(parsed), parsed.GetValue(images)!, parsed.GetValue(prompt)!));
        return command;
    }

    private static async Task<int> RunAsync(AnswerSettings settings, string[] images, string prompt)
    {
        long start = Stopwatch.GetTimestamp();
        // What can be wrong is checked before a model of many gigabytes is loaded.
        Question.WithPictures(prompt, images.Length);
        var pictures = new Pictures();
        foreach (string image in images) pictures.Decode(image, settings.Exif);
        if (settings.IsEmbedded) Notes.Write(EmbeddedModel.Limits);

        using var interruption = new Interruption();
        CancellationToken cancelled = interruption.Begin();
        using LoadedModel model = LoadedModel.Load(settings, cancelled);
        string question = Question.WithPictures(prompt, images.Length, model.Model.Checkpoint.Multimodal.UseStartEnd);
        GenerationRequest request = model.Request([question, null], pictures.Prepare(model.Model));
        using LlavaSpSession session = model.SessionFor(request);
        var text = new AnswerText();
        GenerationResult result = await AnswerStream.RunAsync(
            session, request, "looking", pictures.Milliseconds, settings.Json ? null : text.Write, cancelled);
        double total = Stopwatch.GetElapsedTime(start).TotalMilliseconds;

        if (settings.Json)
        {
            JsonOutput.Write(json =>
            {
                AnswerJson.WriteAnswer(json, model, result, total, model.Model.LoadMilliseconds);
                AnswerJson.WriteModel(json, model);
            });
        }
        else
        {
            Console.Out.WriteLine();
        }

        if (settings.Verbose) StageTable.Write(Consoles.Error, ("answer", result));
        return ExitCode.Success;
    }
}
