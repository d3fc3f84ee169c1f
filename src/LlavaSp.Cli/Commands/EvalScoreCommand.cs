using System.CommandLine;
using LlavaSp.Cli.Options;
using LlavaSp.Cli.Output;
using LlavaSp.Cli.Running;
using LlavaSp.Evaluation.Scoring;

namespace LlavaSp.Cli.Commands;

/// <summary><c>llava-sp eval score NAME</c>: answers against the right ones, by the benchmark's own rules.</summary>
internal static class EvalScoreCommand
{
    public static Command Create()
    {
        var command = new Command("score", "Score answers by a benchmark's own rules");
        var name = new Argument<string>("NAME") { Description = string.Join(", ", Scorers.Names) };
        var answers = new Option<string>("--answers") { Description = "Answers, as eval run writes them", HelpName = "FILE", Required = true };
        var annotations = new Option<string>("--annotations")
        {
            Description = "The benchmark's own file or folder with the right answers",
            HelpName = "PATH",
            Required = true,
        };
        var questions = new Option<string?>("--questions") { Description = "The questions that were answered, where the benchmark needs them (pope, vizwiz)", HelpName = "FILE" };
        var split = new Option<string>("--split") { Description = "Part of the benchmark (scienceqa)", HelpName = "NAME", DefaultValueFactory = static _ => "test" };
        Option<bool> json = Choices.Json();
        command.Add(name);
        foreach (Option option in (Option[])[answers, annotations, questions, split, json]) command.Add(option);
        command.SetAction(parsed =>
        {
            ScoreReport report = Scorers.Score(parsed.GetValue(name)!, new ScoreInput(
                parsed.GetValue(answers)!, parsed.GetValue(annotations)!, parsed.GetValue(questions), parsed.GetValue(split)!));
            if (parsed.GetValue(json)) ScoreOutput.WriteJson(report);
            else ScoreOutput.WriteText(report);
            return ExitCode.Success;
        });
        return command;
    }
}
