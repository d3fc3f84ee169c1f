using System.CommandLine;
using LlavaSp.Cli.Options;
using LlavaSp.Cli.Running;

namespace LlavaSp.Cli.Commands;

/// <summary><c>llava-sp chat [--image F]…</c>: questions and answers until the input ends.</summary>
internal static class ChatCommand
{
    public static Command Create()
    {
        var command = new Command("chat", "Talk about pictures; questions come from the terminal or, line by line, from standard input");
        Option<string[]> images = Choices.Repeated("--image", "A picture for the first question; may stand several times", "FILE");
        Option<int?> context = Choices.Parsed<int?>(
            "--context", "Positions of the key-value cache, questions, pictures and answers together [default: all that the model has]", "N",
            static text => int.TryParse(text, out int positions) && positions > 0 ? positions : throw new LlavaSpException("give a number above 0"));
        command.Add(images);
        command.Add(context);
        var options = new AnswerOptions(command, length: 512, exif: true);
        command.SetAction((parsed, _) => RunAsync(options.Read(parsed), parsed.GetValue(images)!, parsed.GetValue(context)));
        return command;
    }

    private static async Task<int> RunAsync(AnswerSettings settings, string[] images, int? context)
    {
        var pictures = new Pictures();
        foreach (string image in images) pictures.Decode(image, settings.Exif);
        using var interruption = new Interruption();
        LoadedModel model = LoadedModel.Load(settings, interruption.Begin());
        interruption.End();
        using var chat = new ChatLoop(model, interruption, pictures, context);
        await chat.RunAsync();
        return ExitCode.Success;
    }
}
