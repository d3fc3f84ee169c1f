using System.CommandLine;
using System.Diagnostics;
using LlavaSp.Cli.Options;
using LlavaSp.Cli.Output;
using LlavaSp.Cli.Running;
using LlavaSp.Generation;
using Spectre.Console;

namespace LlavaSp.Cli.Commands;

/// <summary><c>llava-sp demo</c>: questions about the sample pictures with what a person would answer, and where the time went.</summary>
internal static class DemoCommand
{
    // samples/README.md says where the pictures are from. All questions about one follow each other: they share its part of the cache.
    private static readonly Asked[] Questions =
    [
        new("scene-1.png", "How many objects are there?", "6"),
        new("scene-1.png", "What object has the digit 5?", "white square"),
        new("scene-2.png", "What digit is on the blue square?", "0"),
        new("scene-2.png", "Is the circle left of the square?", "yes"),
        new("scene-2.png", "Describe the image from left to right.", "a red circle, a white triangle, a purple star, a white hexagon and a blue square"),
        new("scene-3.png", "Is the hexagon plain, striped or dotted?", "striped"),
        new("table.jpg", "What colour is the large star?", "red"),
        new("table.jpg", "Is there a green star in the image?", "no"),
        new("table.jpg", "Is the star left of the square?", "yes"),
    ];

    public static Command Create()
    {
        var command = new Command("demo", "Answer questions about sample pictures, beside what a person would say; needs no files and no model");
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
        else if (settings.IsEmbedded) Notes.Write(EmbeddedModel.Limits);

        var answers = new List<Answered>();
        foreach (var ofPicture in Questions.GroupBy(asked => asked.Picture)) await AnswerAsync(model, ofPicture.Key, [.. ofPicture], answers, cancelled);
        if (!settings.Json)
        {
            StageTable.Write(Consoles.Out, [.. answers.Select((answer, i) => ($"{i + 1}", answer.Result))]);
            Console.Out.WriteLine("A second question about a picture reads the picture from the cache.");
            return ExitCode.Success;
        }

        JsonOutput.Write(json =>
        {
            json.WriteStartArray("answers");
            foreach (var (asked, result, milliseconds) in answers)
            {
                json.WriteStartObject();
                json.WriteString("picture", asked.Picture);
                json.WriteString("question", asked.Question);
                json.WriteString("expected", asked.Expected);
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
        if (model.Settings.IsEmbedded) Consoles.Out.MarkupLineInterpolated($"[yellow]Note: {EmbeddedModel.Limits}[/]");
        Consoles.Out.MarkupLineInterpolated($"device: {model.DeviceLine}");
        Consoles.Out.MarkupLineInterpolated(
            $"model: {model.Model.Checkpoint.Location.Model}, {ByteSize.Text(model.Model.WeightBytes)} of weights, loaded in {model.Model.LoadMilliseconds:f0} ms");
        Console.Out.WriteLine();
    }

    private static async Task AnswerAsync(LoadedModel model, string picture, Asked[] questions, List<Answered> answers, CancellationToken cancelled)
    {
        var pictures = new Pictures();
        pictures.Decode(EmbeddedModel.Sample(picture));
        var images = pictures.Prepare(model.Model);
        GenerationRequest[] requests =
        [
            .. questions.Select(asked => model.Request([Question.WithPictures(asked.Question, 1, model.Model.Checkpoint.Multimodal.UseStartEnd), null], images)),
        ];
        using LlavaSpSession session = model.SessionFor(requests.MaxBy(static request => request.PromptIds.Length)!);
        bool json = model.Settings.Json;
        for (int i = 0; i < questions.Length; i++)
        {
            if (!json) Consoles.Out.MarkupLineInterpolated($"{answers.Count + 1}  [bold]{picture}[/]: {questions[i].Question}");
            long start = Stopwatch.GetTimestamp();
            var text = new AnswerText(raw: false);
            GenerationResult result = await AnswerStream.RunAsync(
                session, requests[i], $"looking at {picture}", i == 0 ? pictures.Milliseconds : 0, json ? null : text.Write, cancelled);
            answers.Add(new(questions[i], result, Stopwatch.GetElapsedTime(start).TotalMilliseconds));
            if (json) continue;
            Console.Out.WriteLine();
            Consoles.Out.MarkupLineInterpolated($"[grey](a person would say: {questions[i].Expected})[/]");
            Console.Out.WriteLine();
        }
    }

    private sealed record Asked(string Picture, string Question, string Expected);

    private sealed record Answered(Asked Asked, GenerationResult Result, double Milliseconds);
}
