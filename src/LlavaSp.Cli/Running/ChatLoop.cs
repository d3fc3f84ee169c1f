using System.Diagnostics;
using LlavaSp.Cli.Output;
using LlavaSp.Generation;
using LlavaSp.Imaging;
using LlavaSp.Text;

namespace LlavaSp.Cli.Running;

/// <summary>A conversation on one session: every turn's prompt begins with the turns before it, which the cache holds.</summary>
internal sealed class ChatLoop : IDisposable
{
    private const string Help =
        "/image FILE  a picture for the next question\n/reset       forget everything said\n/stats       where the time of the last answer went\n"
        + "/help        this\n/quit        leave (as does the end of the input)\nCtrl-C stops an answer; a second one leaves.";

    private readonly LoadedModel _model;
    private readonly Interruption _interruption;
    private readonly LlavaSpSession _session;
    private readonly List<string?> _turns = [];
    private readonly List<PreparedImage> _images = [];
    private readonly List<PreparedImage> _pending = [];
    private readonly List<(string Question, GenerationResult Result, double Milliseconds)> _answers = [];
    private readonly bool _terminal = !Console.IsInputRedirected;
    private double _preprocess;

    /// <summary>Takes over the model.</summary>
    /// <exception cref="PromptException">More positions than the model has.</exception>
    public ChatLoop(LoadedModel model, Interruption interruption, Pictures pictures, int? context)
    {
        _model = model;
        _interruption = interruption;
        _session = model.Model.CreateSession(context);
        Attach(pictures);
    }

    private bool Json => _model.Settings.Json;

    private TextWriter Information => Json ? Console.Error : Console.Out;

    /// <summary>Reads and answers until the input ends.</summary>
    public async Task RunAsync()
    {
        if (_model.Settings.IsEmbedded) Notes.Write(EmbeddedModel.Limits);
        Notes.Write($"{_model.DeviceLine}; template {_model.Settings.Template.Template.Name}; /help lists the commands");
        while (Read() is { } line && line is not ("/quit" or "/exit"))
        {
            try
            {
                if (line.StartsWith('/')) Obey(line);
                else if (line.Length > 0) await AnswerAsync(line);
            }
            catch (LlavaSpException e)
            {
                Notes.Write(e.Message);
            }
        }

        if (Json) WriteJson();
    }

    public void Dispose()
    {
        _session.Dispose();
        _model.Dispose();
    }

    private string? Read()
    {
        if (_terminal) Console.Error.Write("> ");
        string? line = Console.In.ReadLine();
        if (_terminal && line is null) Console.Error.WriteLine();
        return line?.Trim();
    }

    private void Obey(string line)
    {
        string[] words = line.Split(' ', 2, StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        switch (words[0])
        {
            case "/image" when words.Length == 2:
                var pictures = new Pictures();
                pictures.Decode(words[1], _model.Settings.Exif);
                Attach(pictures);
                break;
            case "/image":
                throw new LlavaSpException("/image needs the path of a picture");
            case "/reset":
                _turns.Clear();
                _images.Clear();
                _pending.Clear();
                _preprocess = 0;
                _session.Reset();
                break;
            case "/stats":
                ShowStatistics();
                break;
            case "/help":
                Information.WriteLine(Help);
                break;
            default:
                throw new LlavaSpException($"there is no command {words[0]}: /help lists them");
        }
    }

    private void Attach(Pictures pictures)
    {
        _pending.AddRange(pictures.Prepare(_model.Model));
        _preprocess += pictures.Milliseconds;
    }

    private async Task AnswerAsync(string text)
    {
        string question = Question.WithPictures(text, _pending.Count, _model.Model.Checkpoint.Multimodal.UseStartEnd);
        GenerationRequest request = _model.Request([.. _turns, question, null], [.. _images, .. _pending]);
        var shown = new AnswerText();
        try
        {
            long start = Stopwatch.GetTimestamp();
            GenerationResult result = await AnswerStream.RunAsync(
                _session, request, "thinking", _preprocess, Json ? null : shown.Write, _interruption.Begin());
            if (!Json) Console.Out.WriteLine();
            _answers.Add((text, result, Stopwatch.GetElapsedTime(start).TotalMilliseconds));
            Remember(question, result);
        }
        catch (OperationCanceledException) when (!_interruption.IsEnding)
        {
            if (!Json) Console.Out.WriteLine();
            Notes.Write("stopped; this question and its answer are forgotten");
        }
        finally
        {
            _interruption.End();
        }
    }

    private void Remember(string question, GenerationResult result)
    {
        // A template writes an empty answer as one that is still to come; a space keeps the turns in step.
        _turns.AddRange([question, result.Text.Length > 0 ? result.Text.Replace(ImageToken.Placeholder, "", StringComparison.Ordinal) : " "]);
        _images.AddRange(_pending);
        _pending.Clear();
        _preprocess = 0;
        if (result.FinishReason == FinishReason.Context) Notes.Write($"the context of {_session.ContextLength} positions is full: /reset begins anew");
    }

    private void ShowStatistics()
    {
        if (_answers.Count == 0) throw new LlavaSpException("no answer yet");
        GenerationResult last = _answers[^1].Result;
        StageTable.Write(Json ? Consoles.Error : Consoles.Out, ("last answer", last));
        Information.WriteLine(
            $"prompt {last.PromptLength} positions, {last.ReusedLength} of them reused from the cache; context {_session.ContextLength}; "
            + $"peak memory {PeakMemory.Text(_model.Model)}");
    }

    private void WriteJson() => JsonOutput.Write(json =>
    {
        json.WriteStartArray("turns");
        foreach (var (question, result, milliseconds) in _answers)
        {
            json.WriteStartObject();
            json.WriteString("question", question);
            AnswerJson.WriteAnswer(json, _model, result, milliseconds, null);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.Number("load_milliseconds", _model.Model.LoadMilliseconds);
        AnswerJson.WriteModel(json, _model);
    });
}
