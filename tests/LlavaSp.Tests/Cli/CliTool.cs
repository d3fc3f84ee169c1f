using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using LlavaSp.Tests.Backends.Cuda;

namespace LlavaSp.Tests.Cli;

/// <summary>What a run of the tool left behind.</summary>
internal sealed record CliResult(int ExitCode, string Output, string Error)
{
    /// <summary>The one JSON object on standard output.</summary>
    public JsonElement Json
    {
        get
        {
            Assert.True(ExitCode == 0, $"exit code {ExitCode}: {Error}");
            using JsonDocument document = JsonDocument.Parse(Output);
            Assert.Equal(JsonValueKind.Object, document.RootElement.ValueKind);
            return document.RootElement.Clone();
        }
    }

    /// <summary>Skips the test where the emulator was not built; any other error is left to the test.</summary>
    public void SkipWithoutEmulator()
    {
        if (Error.Contains(CudaTesting.EmulatorMissing, StringComparison.Ordinal)) Assert.Skip(Error);
    }

    /// <summary>Asserts a refusal: exit code 2, nothing on standard output, one line that holds <paramref name="message"/>.</summary>
    public void IsRefusal(string message)
    {
        Assert.True(ExitCode == 2, $"exit code {ExitCode}: {Error}");
        Assert.Equal("", Output);
        string line = Assert.Single(Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.StartsWith("llava-sp: ", line, StringComparison.Ordinal);
        Assert.Contains(message, line, StringComparison.Ordinal);
    }
}

/// <summary>Runs the built tool as a child process.</summary>
internal static partial class CliTool
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    /// <summary>The cache of all runs, so that the embedded checkpoint is unpacked once.</summary>
    public static string Cache { get; } = CreateCache();

    public static string Samples { get; } = Path.GetFullPath(Path.Combine(Goldens.Root, "..", "..", "samples"));

    public static string Shapes { get; } = Path.Combine(Samples, "shapes.png");

    /// <summary>A checkpoint with random weights, which goes on talking as long as it may.</summary>
    public static string[] Talker { get; } = ["--model", Goldens.Checkpoint("pooling-bf16")];

    public static CliResult Run(params string[] arguments) => Run("", arguments);

    public static CliResult Run(string input, string[] arguments, string? cache = null, string[]? environment = null)
    {
        using Process process = Start(arguments, cache, environment: environment);
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        return new CliResult(WaitForExit(process), output.Result, error.Result);
    }

    /// <summary>As above, with variables of the environment, NAME=VALUE.</summary>
    public static CliResult RunWith(string[] environment, params string[] arguments) => Run("", arguments, environment: environment);

    /// <summary>Starts the tool with all three streams redirected.</summary>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="cache">Where it unpacks the embedded checkpoint; null takes the cache of all runs.</param>
    /// <param name="kilobytesOfFiles">Limit on the size of its files; null for none.</param>
    /// <param name="environment">Variables, NAME=VALUE.</param>
    public static Process Start(string[] arguments, string? cache = null, int? kilobytesOfFiles = null, string[]? environment = null)
    {
        string configuration = new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name;
        string tool = Path.GetFullPath(Path.Combine(Goldens.Root, "..", "..", "src", "LlavaSp.Cli", "bin", configuration, "net10.0", "llava-sp.dll"));
        string[] command = ["env", "--default-signal=INT,TERM,HUP", .. environment ?? [], "dotnet", tool, .. arguments];
        if (kilobytesOfFiles is { } limit) command = ["bash", "-c", $"ulimit -f {limit}; exec \"$@\"", "limited", .. command];
        var start = new ProcessStartInfo(command[0], command[1..])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = Path.GetTempPath(),
        };
        // The runtime's own double mapping of code is a file larger than such a limit; the published tool has no such thing.
        if (kilobytesOfFiles is not null) start.Environment["DOTNET_EnableWriteXorExecute"] = "0";
        start.Environment["XDG_CACHE_HOME"] = cache ?? Cache;
        return Process.Start(start)!;
    }

    /// <summary>The exit code; a tool that hangs is killed and fails the test.</summary>
    public static int WaitForExit(Process process)
    {
        if (!process.WaitForExit(Patience))
        {
            process.Kill();
            Assert.Fail($"the tool did not end within {Patience}");
        }

        process.WaitForExit();
        return process.ExitCode;
    }

    /// <summary>Sends SIGINT, as Ctrl-C does, or another signal.</summary>
    public static void Interrupt(Process process, int signal = 2) => Assert.Equal(0, Kill(process.Id, signal));

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);

    private static string CreateCache()
    {
        string cache = Directory.CreateTempSubdirectory("llava-sp-tests-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(cache, recursive: true);
        return cache;
    }
}
