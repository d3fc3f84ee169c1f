using System.Diagnostics;
using System.Text.Json;

namespace LlavaSp.Tests.Cli;

/// <summary><c>chat</c> with its questions piped in.</summary>
public sealed class ChatTests
{
    private static readonly string[] Arguments = ["chat", "--device", "reference", "--max-new-tokens", "6", "--image", CliTool.Shapes, .. CliTool.Talker];

    [Fact]
    public void SecondTurnReusesTheFirst()
    {
        CliResult result = CliTool.Run("What is it?\n\nAnd the colour?\n", [.. Arguments, "--json"]);
        JsonElement[] turns = [.. result.Json.GetProperty("turns").EnumerateArray()];
        Assert.Equal(["What is it?", "And the colour?"], turns.Select(turn => turn.GetProperty("question").GetString()));
        Assert.Equal(0, turns[0].GetProperty("reused_tokens").GetInt32());
        Assert.True(turns[1].GetProperty("reused_tokens").GetInt32() > 582, "the picture was computed again");
        Assert.True(turns[1].GetProperty("prompt_tokens").GetInt32() > turns[0].GetProperty("prompt_tokens").GetInt32());
        Assert.Equal(0, turns[1].GetProperty("milliseconds").GetProperty("vision").GetDouble());
    }

    [Fact]
    public void TheEmbeddedModelSaysThatItIsOne()
    {
        CliResult result = CliTool.Run("What shape is it?\n", ["chat", "--device", "cpu", "--max-new-tokens", "6", "--image", CliTool.Shapes, "--json"]);
        Assert.Contains("drawn scenes", result.Json.GetProperty("embedded").GetString(), StringComparison.Ordinal);
        Assert.Contains("drawn scenes", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void MistakesAreToldAndTheChatGoesOn()
    {
        CliResult result = CliTool.Run(
            "/stats\n/image\n/image /no/such/picture.png\n/paint\nTwo <image> of <image>?\nWhat is it?\n/stats\n/help\n/quit\nnever asked\n", Arguments);
        Assert.Equal(0, result.ExitCode);
        string[] told = ["no answer yet", "/image needs", "no such file", "no command /paint", "2 <image> placeholder(s) for 1 picture(s)"];
        Assert.All(told, message => Assert.Contains(message, result.Error, StringComparison.Ordinal));
        Assert.Contains("0 of them reused", result.Output, StringComparison.Ordinal);
        Assert.Contains("/reset", result.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", result.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("internal error", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void ResetForgetsPicturesAndTurns()
    {
        string input = $"What is it?\n/reset\nWhat is it?\n/reset\n/image {CliTool.Shapes}\nWhat is it?\n";
        JsonElement[] turns = [.. CliTool.Run(input, [.. Arguments, "--json"]).Json.GetProperty("turns").EnumerateArray()];
        int[] prompts = [.. turns.Select(turn => turn.GetProperty("prompt_tokens").GetInt32())];
        Assert.True(prompts[1] < 582);
        Assert.Equal(prompts[0], prompts[2]);
        Assert.Equal(turns[0].GetProperty("text").GetString(), turns[2].GetProperty("text").GetString());
        Assert.All(turns, turn => Assert.Equal(0, turn.GetProperty("reused_tokens").GetInt32()));
    }

    [Fact]
    public async Task CtrlCStopsTheAnswerAndNotTheChat()
    {
        if (OperatingSystem.IsWindows()) Assert.Skip("there is no SIGINT to send on Windows");
        using Process process = CliTool.Start(["chat", "--device", "reference", "--max-new-tokens", "1300", "--image", CliTool.Shapes, .. CliTool.Talker]);
        process.StandardInput.WriteLine("What is it?");
        process.StandardInput.Flush();
        Assert.NotEqual(-1, process.StandardOutput.Read());
        CliTool.Interrupt(process);
        process.StandardInput.Write("/stats\n/quit\n");
        process.StandardInput.Close();
        Task<string> error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        Assert.Equal(0, CliTool.WaitForExit(process));
        string told = await error;
        Assert.Contains("stopped", told, StringComparison.Ordinal);
        // What was stopped is not an answer.
        Assert.Contains("no answer yet", told, StringComparison.Ordinal);
    }

    [Fact]
    public void FullContextIsTold()
    {
        string question = string.Concat(Enumerable.Repeat("a ", 1500));
        CliResult result = CliTool.Run($"{question}\n{question}\n/reset\nWhat?\n", [.. Arguments, "--json"]);
        Assert.Contains("the context holds 2048", result.Error, StringComparison.Ordinal);
        Assert.NotEqual(0, result.Json.GetProperty("turns").GetArrayLength());
    }

    [Fact]
    public void TheContextIsAsLongAsAskedFor()
    {
        string[] arguments = [.. Arguments, "--context", "600", "--json"];
        Assert.Contains("the context holds 600", CliTool.Run($"{string.Concat(Enumerable.Repeat("a ", 100))}\n", arguments).Error, StringComparison.Ordinal);
        CliTool.Run("", [.. Arguments, "--context", "1000000"]).IsRefusal("this model has 2048");
        CliTool.Run("", [.. Arguments, "--context", "0"]).IsRefusal("give a number above 0");
    }
}
