using System.CommandLine;
using System.Globalization;
using LlavaSp.Backends;
using LlavaSp.Checkpoints;
using LlavaSp.Cli.Options;
using LlavaSp.Cli.Output;
using LlavaSp.Cli.Running;
using LlavaSp.Generation;
using LlavaSp.Text;

namespace LlavaSp.Cli.Commands;

/// <summary><c>llava-sp trace</c>: every intermediate tensor of a prompt in one safetensors file.</summary>
internal static class TraceCommand
{
    public static Command Create()
    {
        var command = new Command("trace", "Write every intermediate tensor of a prompt to a safetensors file");
        var location = new LocationOptions(command, required: true);
        Option<string[]> images = Choices.Repeated("--image", "A picture, one for each placeholder, in order; may stand several times", "FILE");
        Option<int[]?> ids = Choices.Parsed<int[]?>(
            "--prompt-ids", "Token ids as they are (nothing is added), -200 for a picture", "1,2,-200,3", ParseIds);
        var prompt = new Option<string?>("--prompt") { Description = "A question, put through the template", HelpName = "TEXT" };
        var steps = new Option<int>("--steps") { Description = "Greedy tokens to generate", HelpName = "N" };
        var output = new Option<string>("--out") { Description = "File to write", HelpName = "FILE", Required = true };
        var only = new Option<string?>("--only") { Description = "Keep only names that match (* and ?), e.g. 'a.sp.*'", HelpName = "PATTERN" };
        foreach (Option option in (Option[])[images, ids, prompt, steps, output, only]) command.Add(option);
        var template = new TemplateOption(command);
        // Traces are compared at 1e-3; a half-precision cache would hide what the weights do.
        var runtime = new RuntimeOptions(command, KvFormat.F32);
        Option<Switch?> exif = Choices.Exif(fallback: false);
        Option<bool> json = Choices.Json(), verbose = Choices.Verbose();
        command.Add(exif);
        command.Add(json);
        command.Add(verbose);
        command.SetAction(parsed =>
        {
            ModelLocation model = location.Read(parsed)!;
            int[]? given = parsed.Given(ids);
            return Run(new Request(
                model, runtime.Read(parsed), parsed.GetValue(images)!, parsed.Value(exif, false), given, parsed.GetValue(prompt),
                template.Read(parsed, model.Model), parsed.GetValue(steps), parsed.GetValue(output)!, parsed.GetValue(only), parsed.GetValue(json),
                parsed.GetValue(verbose)));
        });
        return command;
    }

    private static int Run(Request request)
    {
        if (request.Ids is null == request.Prompt is null) throw new LlavaSpException("give either --prompt-ids or --prompt");
        if (request.Steps < 0) throw new LlavaSpException($"--steps {request.Steps}: give 0 or more");
        if (request.Prompt is { } text) Question.WithPictures(text, request.Images.Length);
        var pictures = new Pictures();
        foreach (string image in request.Images) pictures.Decode(image, request.Exif);

        using var interruption = new Interruption();
        CancellationToken cancelled = interruption.Begin();
        using LlavaSpModel model = Load(request, cancelled);
        int[] ids = request.Ids ?? model.Encode(request.Template.Template.BuildPrompt(
            [Question.WithPictures(request.Prompt!, request.Images.Length, model.Checkpoint.Multimodal.UseStartEnd), null]));
        var trace = new TraceFile(request.Only);
        ModelTracer.Run(model, ids, pictures.Prepare(model), request.Steps, trace, cancelled);
        trace.Save(request.Output, cancelled);
        if (request.Json) JsonOutput.Write(json => Write(json, request, model, trace));
        else Console.Out.WriteLine($"{request.Output}: {trace.Tensors.Count} tensors, {ByteSize.Text(trace.Tensors.Sum(tensor => tensor.ByteLength))}");
        return ExitCode.Success;
    }

    private static LlavaSpModel Load(Request request, CancellationToken cancelled)
    {
        LlavaSpModel model = ProgressDisplay.Load(
            "loading",
            progress => LlavaSpModel.Load(request.Location.Model, request.Load with
            {
                ModelBase = request.Location.ModelBase,
                VisionTower = request.Location.VisionTower,
                AllHiddenStates = true,
                Progress = progress,
                Logger = request.Verbose ? new NoteLogger() : null,
            }),
            cancelled);
        if (request is { Verbose: true, Prompt: not null }) Notes.Write($"template {request.Template.Template.Name}: {request.Template.Reason}");
        return model;
    }

    private static void Write(System.Text.Json.Utf8JsonWriter json, Request request, LlavaSpModel model, TraceFile trace)
    {
        json.WriteString("out", request.Output);
        DeviceJson.Write(json, model);
        json.WriteStartArray("tensors");
        foreach (TensorInfo tensor in trace.Tensors)
        {
            json.WriteStartObject();
            json.WriteString("name", tensor.Name);
            json.WriteString("dtype", tensor.DType.ToString());
            json.WriteStartArray("shape");
            foreach (long size in tensor.Shape) json.WriteNumberValue(size);
            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static int[] ParseIds(string text)
    {
        string[] parts = text.Split(',', StringSplitOptions.TrimEntries);
        var ids = new int[parts.Length];
        for (int i = 0; i < ids.Length; i++)
        {
            if (!int.TryParse(parts[i], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out ids[i]))
                throw new LlavaSpException($"'{parts[i]}' is not a token id: write numbers with commas between them");
        }

        return ids;
    }

    private sealed record Request(
        ModelLocation Location, LoadOptions Load, string[] Images, bool Exif, int[]? Ids, string? Prompt, TemplateChoice Template, int Steps, string Output,
        string? Only, bool Json, bool Verbose);
}
