using System.CommandLine;
using System.Diagnostics;
using LlavaSp.Cli.Options;
using LlavaSp.Cli.Output;
using LlavaSp.Cli.Running;
using LlavaSp.Evaluation.Benchmarks;
using LlavaSp.Text;

namespace LlavaSp.Cli.Commands;

/// <summary><c>llava-sp eval run</c>: the questions of a benchmark through the model, answers into a file that a later run continues.</summary>
internal static class EvalRunCommand
{
    // Upstream's model_vqa_loader.
    private const int AnswerLength = 128;

    private const int Batch = 8, MostBatch = 256;

    public static Command Create()
    {
        var command = new Command("run", "Answer the questions of a benchmark; an answer file that is there is continued");
        var questions = new Option<string>("--questions")
        {
            Description = "Questions, one JSON object in each line (question_id, image, text, category); or MMBench's tsv or ScienceQA's json file",
            HelpName = "FILE",
            Required = true,
        };
        var images = new Option<string?>("--images") { Description = "Folder of the pictures that the questions name", HelpName = "DIR" };
        var answers = new Option<string>("--answers")
        {
            Description = "Answers, one JSON object in each line; questions that it answers already are skipped",
            HelpName = "FILE",
            Required = true,
        };
        var chunks = new Option<int>("--num-chunks") { Description = "Parts that the questions are cut into", HelpName = "N", DefaultValueFactory = static _ => 1 };
        var chunk = new Option<int>("--chunk-idx") { Description = "The part to answer, from 0", HelpName = "I" };
        Option<int> batch = Choices.Count("--batch", Batch, MostBatch, "Questions answered side by side, each with a key-value cache of its own: more are faster, and take more memory");
        foreach (Option option in (Option[])[questions, images, answers, chunks, chunk, batch]) command.Add(option);
        var options = new AnswerOptions(command, AnswerLength, exif: false);
        command.SetAction(parsed =>
        {
            AnswerSettings settings = options.Read(parsed);
            if (settings.Generation.Sampling.TopLogProbs is not null) throw new LlavaSpException("--logprobs: answer files have no place for them");
            return Run(settings, new Files(
                parsed.GetValue(questions)!, parsed.GetValue(images), parsed.GetValue(answers)!, parsed.GetValue(chunks), parsed.GetValue(chunk)), parsed.GetValue(batch));
        });
        return command;
    }

    private static int Run(AnswerSettings settings, Files files, int batch)
    {
        // What can be wrong is checked before a model of many gigabytes is loaded.
        BenchmarkQuestion[] all = [.. QuestionFile.Read(files.Questions)];
        BenchmarkQuestion[] chunk = all[Chunk.Of(all.Length, files.Chunks, files.Chunk)];
        var pictures = new PictureFolder(files.Images);
        using AnswerFile answers = AnswerFile.Continue(files.Answers);
        string modelId = ConversationTemplate.ModelName(Path.GetFullPath(settings.Location.Model));
        var run = new BenchmarkRun(chunk, answers, modelId);
        foreach (BenchmarkQuestion question in run.Pending)
        {
            pictures.PathOf(question);
            Question.WithPictures(question.Text, question.HasImage ? 1 : 0);
        }

        if (answers.CutBytes > 0) Notes.Write($"{files.Answers}: an interruption tore its last line, {answers.CutBytes} bytes: the question is answered again");
        if (chunk.Length == 0) Notes.Write($"{files.Questions}: {all.Length} questions leave none for chunk {files.Chunk} of {files.Chunks}");
        if (settings.IsEmbedded) Notes.Write(EmbeddedModel.Limits);

        using var interruption = new Interruption();
        CancellationToken cancelled = interruption.Begin();
        long start = Stopwatch.GetTimestamp();
        using LoadedModel? model = run.Pending.Count > 0 ? LoadedModel.Load(settings, cancelled) : null;
        if (model is not null)
        {
            using var answerer = new BenchmarkAnswerer(model, pictures);
            ProgressDisplay.Counted("answering", run.Pending.Count, onAnswered =>
                run.AnswerAll(some => answerer.Answer(some, cancelled), batch, onAnswered, cancelled));
        }

        Report(settings, files, run, modelId, model, Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        return ExitCode.Success;
    }

    private static void Report(AnswerSettings settings, Files files, BenchmarkRun run, string modelId, LoadedModel? model, double milliseconds)
    {
        if (!settings.Json)
        {
            Console.Out.WriteLine($"{files.Answers}: {run.Pending.Count} questions answered, {run.Answered} were before");
            return;
        }

        JsonOutput.Write(json =>
        {
            json.WriteString("answers", files.Answers);
            json.WriteNumber("answered", run.Pending.Count);
            json.WriteNumber("answered_before", run.Answered);
            json.WriteString("model_id", modelId);
            json.Number("milliseconds", milliseconds);
            if (model is not null) AnswerJson.WriteModel(json, model);
        });
    }

    private sealed record Files(string Questions, string? Images, string Answers, int Chunks, int Chunk);
}
