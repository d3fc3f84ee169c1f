using System.CommandLine;
using LlavaSp.Cli.Output;
using LlavaSp.Cli.Running;
using LlavaSp.Evaluation.Submissions;

namespace LlavaSp.Cli.Commands;

/// <summary><c>llava-sp eval submit NAME</c>: answers as a benchmark's evaluation server takes them.</summary>
internal static class EvalSubmitCommand
{
    public static Command Create()
    {
        var command = new Command("submit", "Write answers as the benchmark's evaluation server takes them");
        var name = new Argument<string>("NAME") { Description = string.Join(", ", ServerFiles.Names) };
        var answers = new Option<string>("--answers") { Description = "Answers, as eval run writes them", HelpName = "FILE", Required = true };
        var questions = new Option<string?>("--questions")
        {
            Description = "The questions that were answered (vqav2, vizwiz), or the benchmark's tsv file (mmbench)",
            HelpName = "FILE",
        };
        var output = new Option<string>("--out") { Description = "File to write: json, for mmbench xlsx", HelpName = "FILE", Required = true };
        command.Add(name);
        foreach (Option option in (Option[])[answers, questions, output]) command.Add(option);
        command.SetAction(async (parsed, _) =>
        {
            string path = parsed.GetValue(output)!;
            using var interruption = new Interruption();
            CancellationToken cancelled = interruption.Begin();
            await WholeFile.WriteAsync(path, stream => ServerFiles.WriteAsync(
                parsed.GetValue(name)!, new SubmissionInput(parsed.GetValue(answers)!, parsed.GetValue(questions)), stream, cancelled));
            Console.Out.WriteLine($"{path}: written");
            return ExitCode.Success;
        });
        return command;
    }
}
