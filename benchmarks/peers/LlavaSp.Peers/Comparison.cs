using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using LlavaSp.Peers.Report;

namespace LlavaSp.Peers;

/// <summary>Measures LlavaSp and its peers in turn, each in a process of its own: what drifts on the machine meanwhile meets all of them.</summary>
internal sealed class Comparison(PeerOptions options, string tool, int repeats)
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(20);

    /// <summary>Runs everything; results are kept after every process.</summary>
    public void Run(string file)
    {
        Directory.CreateDirectory(options.WorkFolder);
        var results = new Results
        {
            Date = DateTime.Now.ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture),
            Machine = Machine.Describe(),
            Commit = Environment.GetEnvironmentVariable("PEERS_COMMIT") ?? "unknown",
            Quick = options.Quick,
            Repeats = repeats,
        };
        var ours = new OwnTool(tool, options);
        foreach (IReadOnlyList<Source> group in Sources.Groups)
        {
            for (int round = 1; round <= repeats; round++)
            {
                foreach (Source source in group)
                {
                    if (results.Missing.ContainsKey(source.Id) || (round > 1 && source.Once)) continue;
                    long start = Stopwatch.GetTimestamp();
                    Console.Error.Write($"{source.Label}, {round} of {repeats} … ");
                    try
                    {
                        Measurement measurement = source.Measure is null ? ours.Measure(source) : MeasurePeer(source);
                        if (!results.Runs.TryGetValue(source.Id, out List<Measurement>? runs)) results.Runs[source.Id] = runs = [];
                        runs.Add(measurement);
                        Console.Error.WriteLine($"{Stopwatch.GetElapsedTime(start).TotalSeconds:f0} s");
                    }
                    catch (PeerException reason)
                    {
                        results.Missing[source.Id] = reason.Message;
                        Console.Error.WriteLine(reason.Message);
                    }

                    results.Save(file);
                }
            }
        }
    }

    /// <summary>Standard output of a program.</summary>
    /// <exception cref="PeerException">It failed: the last line of what it wrote on standard error.</exception>
    public static string Output(string program, IEnumerable<string> arguments, params (string Name, string Value)[] environment)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach ((string name, string value) in environment) start.Environment[name] = value;
        using Process process = Process.Start(start) ?? throw new PeerException($"{program} does not start");
        Task<string> output = process.StandardOutput.ReadToEndAsync(), errors = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(Limit))
        {
            process.Kill(true);
            throw new PeerException($"not done after {Limit.TotalMinutes} minutes");
        }

        string last = errors.Result.Trim().Split('\n')[^1].Trim();
        if (process.ExitCode != 0) throw new PeerException(last.Length > 0 ? last : $"exit code {process.ExitCode}");
        return output.Result;
    }

    private Measurement MeasurePeer(Source source)
    {
        // libtorch may miss a symbol of the system's libstdc++, which the run script compiles.
        string? preload = source.Peer == "TorchSharp" ? Environment.GetEnvironmentVariable("PEERS_TORCH_PRELOAD") : null;
        string threads = Shapes.Threads.ToString(CultureInfo.InvariantCulture);
        string output = Output(
            Environment.ProcessPath!, ["measure", source.Id, "--work", options.WorkFolder, .. options.Quick ? ["--quick"] : Array.Empty<string>()],
            [("OMP_NUM_THREADS", threads), .. preload is null ? [] : new[] { ("LD_PRELOAD", preload) }]);
        // Libraries print to standard output too: the object is the last thing in it.
        int begin = output.StartsWith('{') ? 0 : output.LastIndexOf("\n{", StringComparison.Ordinal) + 1;
        return JsonSerializer.Deserialize<Measurement>(output[begin..], Results.Json) ?? throw new PeerException("printed nothing");
    }
}
