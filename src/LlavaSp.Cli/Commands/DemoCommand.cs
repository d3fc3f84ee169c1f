using System.CommandLine;
using System.Diagnostics;
using LlavaSp.Cli.Options;
using LlavaSp.Cli.Output;
using LlavaSp.Cli.Running;
using LlavaSp.Generation;
using Spectre.Console;

namespace LlavaSp.Cli.Commands;

/// <summary><c>llava-sp demo</c>: three questions about the sample pictures, and where the time went.</summary>
internal static class DemoCommand
{
    private static readonly (string Picture, string Question)[] Questions =
    [
        ("shapes.png", "What is to the left of the blue square?"),
        ("street.png", "What colour is the car on the road?"),
        ("board.png", "What is written on the board?"),
    ];

    public static Command Create()
    {
        var command = new Command("demo", "Answer three questions about sample pictures; needs no files and no model");
        var options = new AnswerOptions(command, length: 48, exif: false);
        command.SetAction((parsed, _) => RunAsync(options.Read(parsed)));
        return command;
    }

    private static async Task<int> RunAsync(AnswerSettings settings)
    {
        using var interruption = new Interruption();
        CancellationToken cancelled = interruption.Begin();
        using LoadedModel model = LoadedModel.Load(settings, cancelled);
        if (!settings.Json) Introduce(model);
        else if (settings.IsEmbedded) Notes.Write(EmbeddedModel.Meaningless);

        var answers = new List<(string Picture, string Question, GenerationResult Result, double Milliseconds)>();
        foreach ((string picture, string question) in Questions)
        {
            if (!settings.Json) Consoles.Out.MarkupLineInterpolated($"[bold]{picture}[/]: {question}");
            long start = Stopwatch.GetTimestamp();
            GenerationResult result = await AnswerAsync(model, picture, question, cancelled);
            answers.Add((picture, question, result, Stopwatch.GetElapsedTime(start).TotalMilliseconds));
            if (!settings.Json) Console.Out.WriteLine(Environment.NewLine);
        }

        if (!settings.Json)
        {
            StageTable.Write(Consoles.Out, [.. answers.Select(answer => (Path.GetFileNameWithoutExtension(answer.Picture), answer.Result))]);
            if (settings.IsEmbedded) Consoles.Out.MarkupLineInterpolated($"[yellow]As said: {EmbeddedModel.Meaningless}[/]");
            return ExitCode.Success;
        }

        JsonOutput.Write(json =>
        {
            json.WriteStartArray("answers");
            foreach (var (picture, question, result, milliseconds) in answers)
            {
                json.WriteStartObject();
                json.WriteString("picture", picture);
                json.WriteString("question", question);
                AnswerJson.WriteAnswer(json, model, result, milliseconds, null);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.Number("load_milliseconds", model.Model.LoadMilliseconds);
            AnswerJson.WriteModel(json, model);
        });
        return ExitCode.Success;
    }

    private static void Introduce(LoadedModel model)
    {
        if (model.Settings.IsEmbedded) Consoles.Out.MarkupLineInterpolated($"[yellow]Note: {EmbeddedModel.Meaningless}[/]");
        Consoles.Out.MarkupLineInterpolated($"device: {model.DeviceLine}");
        Consoles.Out.MarkupLineInterpolated(
            $"model: {model.Model.Checkpoint.Location.Model}, {ByteSize.Text(model.Model.WeightBytes)} of weights, loaded in {model.Model.LoadMilliseconds:f0} ms");
        Console.Out.WriteLine();
    }

    private static async Task<GenerationResult> AnswerAsync(LoadedModel model, string picture, string question, CancellationToken cancelled)
    {
        var pictures = new Pictures();
        pictures.Decode(EmbeddedModel.Sample(picture));
        string asked = Question.WithPictures(question, 1, model.Model.Checkpoint.Multimodal.UseStartEnd);
        GenerationRequest request = model.Request([asked, null], pictures.Prepare(model.Model));
        using LlavaSpSession session = model.SessionFor(request);
        var text = new AnswerText(raw: false);
        return await AnswerStream.RunAsync(
            session, request, $"looking at {picture}", pictures.Milliseconds, model.Settings.Json ? null : text.Write, cancelled);
    }
}
