using System.Diagnostics;
using LlavaSp.Tests.Checkpoints;

namespace LlavaSp.Tests.Cli;

/// <summary>Signals and limits end the tool with nothing half-written behind it.</summary>
public sealed class SignalTests
{
    private const int Hangup = 1, Interrupt = 2, Terminate = 15;

    [Fact]
    public async Task AStoppedConversionLeavesNothing()
    {
        if (OperatingSystem.IsWindows()) Assert.Skip("there are no such signals on Windows");
        using var folder = new TemporaryFolder();
        MediumModel.Write(folder["source"]);
        foreach (int signal in (int[])[Hangup, Interrupt, Terminate])
        {
            using Process process = CliTool.Start(["convert", folder["source"], "--out", folder["out"], "--weights", "int4"]);
            while (!process.HasExited && !Directory.EnumerateDirectories(folder.Root, "out.partial-*").Any())
                await Task.Delay(5, TestContext.Current.CancellationToken);
            CliTool.Interrupt(process, signal);
            Assert.Equal(128 + signal, CliTool.WaitForExit(process));
            Assert.Equal("", await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken));
            Assert.Equal([folder["source"]], Directory.GetFileSystemEntries(folder.Root));
        }
    }

    [Theory]
    [InlineData(Interrupt)]
    [InlineData(Terminate)]
    public async Task AStoppedTraceLeavesNothing(int signal)
    {
        if (OperatingSystem.IsWindows()) Assert.Skip("there are no such signals on Windows");
        using var folder = new TemporaryFolder();
        // The reference backend takes minutes for so many steps.
        using Process process = CliTool.Start(
            ["trace", "--model", Goldens.Checkpoint("pooling-bf16"), "--device", "reference", "--prompt-ids", "1,2,3", "--steps", "2000", "--out", folder["t"], "--verbose"]);
        await process.StandardError.ReadLineAsync(TestContext.Current.CancellationToken);
        CliTool.Interrupt(process, signal);
        Assert.Equal(128 + signal, CliTool.WaitForExit(process));
        Assert.Empty(Directory.GetFileSystemEntries(folder.Root));
    }

    [Fact]
    public void SigtermEndsAChatThatAnswers()
    {
        if (OperatingSystem.IsWindows()) Assert.Skip("there are no such signals on Windows");
        using Process process = CliTool.Start(["chat", "--device", "reference", "--max-new-tokens", "1300", "--image", CliTool.Shapes, .. CliTool.Talker]);
        process.StandardInput.WriteLine("What is it?");
        process.StandardInput.Flush();
        Assert.NotEqual(-1, process.StandardOutput.Read());
        CliTool.Interrupt(process, Terminate);
        Assert.Equal(128 + Terminate, CliTool.WaitForExit(process));
    }

    /// <summary>The kernel's signal comes late: without care it ends the process while the refusal is being written.</summary>
    [Fact]
    public async Task ALimitOnTheSizeOfFilesIsAFailedWrite()
    {
        if (OperatingSystem.IsWindows()) Assert.Skip("Windows has no limit on the size of a process's files");
        using var folder = new TemporaryFolder();
        string[] convert = ["convert", Goldens.Checkpoint("pooling-f32"), "--vision-tower", CheckpointBuilder.ClipFolder, "--out", folder["out"]];
        for (int i = 0; i < 5; i++)
        {
            using Process process = CliTool.Start(convert, kilobytesOfFiles: 100);
            Task<string> output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
            string error = await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
            new CliResult(CliTool.WaitForExit(process), await output, error).IsRefusal("cannot be written");
            Assert.Empty(Directory.GetFileSystemEntries(folder.Root));
        }
    }
}
