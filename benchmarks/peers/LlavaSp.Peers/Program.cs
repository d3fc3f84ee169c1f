using System.CommandLine;
using System.Text.Json;
using LlavaSp.Peers;
using LlavaSp.Peers.Report;

var work = new Option<string>("--work") { Description = "Folder for weights and results", DefaultValueFactory = static _ => "build/peers" };
var quick = new Option<bool>("--quick") { Description = "Two layers, one run: whether everything works, not how fast" };

var id = new Argument<string>("SOURCE") { Description = string.Join(", ", Sources.All.Where(source => source.Measure is not null).Select(source => source.Id)) };
var measure = new Command("measure", "Measure one peer in one format; prints JSON") { id, work, quick };
measure.SetAction(parsed => Guarded(() =>
{
    Source source = Sources.Get(parsed.GetValue(id)!);
    if (source.Measure is null) throw new PeerException($"{source.Peer} is measured by its own tool");
    Directory.CreateDirectory(parsed.GetValue(work)!);
    Measurement result = source.Measure(new PeerOptions(Path.GetFullPath(parsed.GetValue(work)!), parsed.GetValue(quick)));
    Console.WriteLine(JsonSerializer.Serialize(result, Results.Json));
}));

var tool = new Option<string>("--tool") { Description = "LlavaSp's command line tool", DefaultValueFactory = static _ => "build/bin/llava-sp" };
var output = new Option<string>("--out") { Description = "Folder of the document", DefaultValueFactory = static _ => "docs" };
var repeats = new Option<int>("--repeats") { Description = "Processes per peer and format; the median counts", DefaultValueFactory = static _ => 3 };
var reportOnly = new Option<bool>("--report-only") { Description = "Write the document from the results of the last run" };
var compare = new Command("compare", "Measure LlavaSp and all peers in turn and write the document") { work, quick, tool, output, repeats, reportOnly };
compare.SetAction(parsed => Guarded(() =>
{
    string folder = Path.GetFullPath(parsed.GetValue(work)!);
    string file = Path.Combine(folder, parsed.GetValue(quick) ? "results-quick.json" : "results.json");
    if (!parsed.GetValue(reportOnly))
    {
        var comparison = new Comparison(new PeerOptions(folder, parsed.GetValue(quick)), parsed.GetValue(tool)!, parsed.GetValue(quick) ? 1 : parsed.GetValue(repeats));
        comparison.Run(file);
    }

    if (!File.Exists(file)) throw new PeerException($"no results to report: {file} is not there");
    Document.Write(Results.Load(file), parsed.GetValue(output)!);
}));

return new RootCommand("LlavaSp beside llama.cpp, TorchSharp and ONNX Runtime") { measure, compare }.Parse(args).Invoke();

static int Guarded(Action action)
{
    try
    {
        action();
        return 0;
    }
    catch (Exception error) when (error is not OutOfMemoryException)
    {
        // The first line is what a missing peer is listed with.
        Exception inner = error.GetBaseException();
        Console.Error.WriteLine($"{(inner is PeerException or LlavaSp.LlavaSpException ? "" : inner.GetType().Name + ": ")}{inner.Message.Split('\n')[0]}");
        if (inner is not (PeerException or LlavaSp.LlavaSpException) && Environment.GetEnvironmentVariable("PEERS_TRACE") is not null) Console.Error.WriteLine(error);
        return 1;
    }
}
